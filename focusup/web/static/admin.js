import { begin } from "./account.js";

begin();

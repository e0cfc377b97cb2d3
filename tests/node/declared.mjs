// Prints what focusup.d.ts declares of these types: for each property whether it may be left
// out, and whether it may be null.

import { fileURLToPath } from "node:url";

import ts from "typescript";

const path = fileURLToPath(new URL("../../focusup/web/static/focusup.d.ts", import.meta.url));
const program = ts.createProgram([path], { strict: true, noLib: true, types: [] });
const checker = program.getTypeChecker();
const exported = checker.getExportsOfModule(
  checker.getSymbolAtLocation(program.getSourceFile(path)),
);
const isNull = (type) => Boolean(type.flags & ts.TypeFlags.Null);

const declared = Object.fromEntries(
  process.argv.slice(2).map((name) => {
    const properties = checker
      .getDeclaredTypeOfSymbol(exported.find((each) => each.name === name))
      .getProperties();
    return [
      name,
      Object.fromEntries(
        properties.map((property) => {
          const type = checker.getTypeOfSymbol(property);
          const optional = Boolean(property.flags & ts.SymbolFlags.Optional);
          return [property.name, { optional, nullable: type.isUnion() && type.types.some(isNull) }];
        }),
      ),
    ];
  }),
);
console.log(JSON.stringify(declared));

// Tags in one line of text, as a person types them: separated by commas, and in quotes if a tag
// holds a comma or a quote itself. Pure.

const TAG = /\s*(?:"((?:[^"]|"")*)"\s*(?=,|$)|([^,]*))(?:,|$)/gy;

export const written = (tags) =>
  tags.map((tag) => (/[",]/.test(tag) ? `"${tag.replaceAll('"', '""')}"` : tag)).join(", ");

// What was typed, each tag once. A quote that is never closed is part of its tag.
export function read(text) {
  const found = [...text.matchAll(TAG)].map(([, quoted, bare]) => (quoted?.replaceAll('""', '"') ?? bare).trim());
  return [...new Set(found.filter(Boolean))];
}

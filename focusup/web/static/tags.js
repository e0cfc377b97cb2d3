// Tags as one line of text: separated by commas, in quotes if a tag contains a comma or a quote.
// Pure.

const TAG = /\s*(?:"((?:[^"]|"")*)"\s*(?=,|$)|([^,]*))(?:,|$)/gy;

export const written = (tags) =>
  tags.map((tag) => (/[",]/.test(tag) ? `"${tag.replaceAll('"', '""')}"` : tag)).join(", ");

// Parse tags, each once. An unclosed quote is part of its tag.
export function read(text) {
  const found = [...text.matchAll(TAG)].map(([, quoted, bare]) =>
    (quoted?.replaceAll('""', '"') ?? bare).trim(),
  );
  return [...new Set(found.filter(Boolean))];
}

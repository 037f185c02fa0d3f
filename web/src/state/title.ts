/** The title of a conversation from its first message. */

/** Longest automatic title, in characters as a reader counts them. */
export const kTitleMax = 40;

/** First line of a message without Markdown marks, cut at a word where one is near. */
export function titleFrom(text: string): string {
  const line = text
    .replace(/```[^\n]*\n?/g, '')
    .split('\n')
    .map((l) => l.replace(/^[\s#>*\-+]+/, '').replace(/[*_`~]/g, '').trim())
    .find((l) => l !== '');
  if (!line) return '';
  const characters = [...new Intl.Segmenter().segment(line)].map((s) => s.segment);
  if (characters.length <= kTitleMax) return line;
  const cut = characters.slice(0, kTitleMax - 1).join('');
  const space = cut.lastIndexOf(' ');
  return `${(space > kTitleMax / 2 ? cut.slice(0, space) : cut).trimEnd()}…`;
}

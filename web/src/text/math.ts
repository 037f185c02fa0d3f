/**
 * TeX in Markdown: `\( \)`, `\[ \]`, `$ $` and `$$ $$` to MathML, which browsers draw by themselves.
 * KaTeX is loaded when the first formula is seen; until then, and where it fails, the source shows.
 */
import type { MarkdownIt } from 'markdown-it';
import { escapeHtml } from './highlight';

type Inline = Parameters<MarkdownIt['inline']['ruler']['before']>[2];
type Block = Parameters<MarkdownIt['block']['ruler']['before']>[2];

/** A formula longer than this stays source. */
export const kFormulaCharsMax = 4000;

let katex: typeof import('katex').default | null = null;

/** Whether formulas are drawn now. */
export function isMathLoaded(): boolean {
  return katex !== null;
}

/** Whether a text may hold a formula. */
export function mayHoldMath(text: string): boolean {
  return /\\\(|\\\[|\$/.test(text);
}

/** Loads KaTeX, once. */
export async function loadMath(): Promise<void> {
  katex = (await import('katex')).default;
}

/** MathML of one formula, or its source where it is none. */
export function renderMath(source: string, display: boolean): string {
  const plain = `<code>${escapeHtml(source)}</code>`;
  if (!katex || source.length > kFormulaCharsMax) return plain;
  try {
    return katex
      .renderToString(source, { output: 'mathml', displayMode: display, trust: false, maxExpand: 200, throwOnError: true, strict: 'ignore' })
      // The source as an annotation would show where MathML is sanitized.
      .replace(/<annotation[^>]*>[\s\S]*?<\/annotation>/g, '');
  } catch {
    return plain;
  }
}

/** Teaches Markdown the four kinds of formula. */
export function mathPlugin(markdown: MarkdownIt): void {
  markdown.inline.ruler.before('escape', 'math', inlineMath);
  markdown.block.ruler.before('fence', 'math_block', blockMath, { alt: ['paragraph', 'blockquote', 'list'] });
  markdown.renderer.rules['math'] = (tokens, i) => renderMath(tokens[i]!.content, false);
  markdown.renderer.rules['math_block'] = (tokens, i) => `<div class="math" tabindex="0">${renderMath(tokens[i]!.content, true)}</div>`;
}

const inlineMath: Inline = (state, silent) => {
  const rest = state.src.slice(state.pos, state.posMax);
  // A dollar sign is money unless it hugs what it encloses and no digit follows.
  const found = /^\\\(([^]+?)\\\)/.exec(rest) ?? /^\$\$([^$]+?)\$\$/.exec(rest)
    ?? /^\$((?![\s\d.,]*\s)[^\s$](?:[^$\n]*[^\s$\\])?)\$(?!\d)/.exec(rest);
  if (!found) return false;
  if (!silent) state.push('math', '', 0).content = found[1]!.trim();
  state.pos += found[0].length;
  return true;
};

const blockMath: Block = (state, startLine, endLine, silent) => {
  const line = (n: number) => state.src.slice(state.bMarks[n]! + state.tShift[n]!, state.eMarks[n]).trimEnd();
  const first = line(startLine);
  const [open, close] = first.startsWith('$$') ? ['$$', '$$'] : ['\\[', '\\]'];
  if (!first.startsWith(open)) return false;
  let text = first.slice(open.length);
  let next = startLine + 1;
  while (!text.trimEnd().endsWith(close)) {
    // Without its end, or with text behind it, it is no block.
    if (next >= endLine || text.includes(close) || text.length > kFormulaCharsMax) return false;
    text += `\n${line(next++)}`;
  }
  if (silent) return true;
  const token = state.push('math_block', '', 0);
  token.content = text.trimEnd().slice(0, -close.length).trim();
  token.map = [startLine, next];
  token.block = true;
  state.line = next;
  return true;
};

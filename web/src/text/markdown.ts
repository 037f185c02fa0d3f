/**
 * Markdown from a model, which is text from a stranger, to safe blocks. Raw HTML is off, only http,
 * https and mailto links survive, a link shows where it leads, images are never loaded, and
 * DOMPurify stands behind all of it.
 *
 * A streamed answer is parsed block by block: blocks that later text can't change keep their
 * identity, so the page neither parses nor draws them again.
 */
import DOMPurify from 'dompurify';
import MarkdownIt from 'markdown-it';
import { escapeHtml, highlight } from './highlight';
import { mathPlugin } from './math';

/** A top-level piece of a message: HTML, or a fenced code block with a component of its own. */
export type Block =
  | { readonly kind: 'html'; readonly start: number; readonly source: string; readonly html: string }
  | {
      readonly kind: 'code'; readonly start: number; readonly source: string;
      readonly language: string; readonly code: string; readonly open: boolean;
    };

// Later text may still change the last block, or join it to the one before.
const kOpenBlocks = 2;

const markdown = new MarkdownIt({
  html: false,
  linkify: true,
  breaks: false,
});
markdown.use(mathPlugin);
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
markdown.validateLink = (url) => /^(https?:\/\/|mailto:)/i.test(url.trim());

/** What the reader's language adds to rendered text. */
type RenderEnv = { readonly copyLabel: string };

type Rule = NonNullable<typeof markdown.renderer.rules.link_open>;
const renderToken: Rule = (tokens, i, options, _env, self) => self.renderToken(tokens, i, options);

markdown.renderer.rules.link_open = (tokens, i, options, env, self) => {
  tokens[i]!.attrSet('target', '_blank');
  tokens[i]!.attrSet('rel', 'noopener noreferrer nofollow');
  tokens[i]!.attrSet('title', attribute(tokens[i], 'href'));
  return renderToken(tokens, i, options, env, self);
};

// A link whose text does not name its host says it: a reader sees where it leads before clicking.
markdown.renderer.rules.link_close = (tokens, i, options, env, self) => {
  const open = tokens.slice(0, i).findLastIndex((t) => t.type === 'link_open');
  const host = hostOf(attribute(tokens[open], 'href'));
  const label = tokens.slice(open + 1, i).map((t) => t.content).join('');
  const note = host && !label.includes(host) ? `<span class="host"> (${escapeHtml(host)})</span>` : '';
  return note + renderToken(tokens, i, options, env, self);
};

// An image would tell its host who reads what: it becomes a link.
markdown.renderer.rules.image = (tokens, i) => {
  const href = attribute(tokens[i], 'src');
  const host = hostOf(href);
  const label = escapeHtml(tokens[i]!.content || host);
  return `<a href="${escapeHtml(href)}" target="_blank" rel="noopener noreferrer nofollow" title="${escapeHtml(href)}">`
    + `🖼 ${label}<span class="host"> (${escapeHtml(host)})</span></a>`;
};

// Code inside a list or a quote; at the top level it is a block with a component of its own.
markdown.renderer.rules.fence = (tokens, i, _options, env) => {
  const language = languageOf(tokens[i]!.info);
  const label = escapeHtml(String((env as RenderEnv).copyLabel));
  return `<figure class="code"><figcaption><span>${escapeHtml(language)}</span>`
    + `<button type="button" class="plain small" data-copy>${label}</button></figcaption>`
    + `<pre tabindex="0"><code>${highlight(tokens[i]!.content, language)}</code></pre></figure>`;
};
markdown.renderer.rules.code_block = markdown.renderer.rules.fence;

markdown.renderer.rules.table_open = () => '<div class="table" tabindex="0"><table>';
markdown.renderer.rules.table_close = () => '</table></div>';

function attribute(token: Parameters<Rule>[0][number] | undefined, name: string): string {
  return String(token?.attrGet(name) ?? '');
}

function hostOf(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return protocol === 'mailto:' ? pathname : host;
  } catch {
    return '';
  }
}

function clean(html: string): string {
  return DOMPurify.sanitize(html, { ADD_ATTR: ['target'], FORBID_TAGS: ['style', 'form', 'img', 'svg'], FORBID_ATTR: ['style'] });
}

function languageOf(info: string): string {
  return info.trim().split(/\s+/)[0]!.toLowerCase();
}

/** The blocks of a whole message. `copyLabel` names the buttons of code inside lists. */
export function toBlocks(text: string, copyLabel = 'Copy'): readonly Block[] {
  return parseFrom(text, 0, copyLabel);
}

/** The blocks of a message that grew: equal to toBlocks() but for blocks taken from `previous`. */
export function growBlocks(text: string, previous: readonly Block[], copyLabel = 'Copy'): readonly Block[] {
  let kept = Math.max(0, previous.length - kOpenBlocks);
  while (kept > 0 && !text.startsWith(previous[kept - 1]!.source, previous[kept - 1]!.start)) --kept;
  const last = previous[kept - 1];
  const from = last ? last.start + last.source.length : 0;
  const fresh = parseFrom(text, from, copyLabel).map((block) => {
    const old = previous.find((b) => b.start === block.start && b.kind === block.kind && b.source === block.source);
    return old ?? block;
  });
  return [...previous.slice(0, kept), ...fresh];
}

function parseFrom(text: string, from: number, copyLabel: string): readonly Block[] {
  const source = text.slice(from);
  const lineStarts = [0];
  for (let at = source.indexOf('\n'); at >= 0; at = source.indexOf('\n', at + 1)) lineStarts.push(at + 1);
  lineStarts.push(source.length);
  const env: RenderEnv = { copyLabel };
  const tokens = markdown.parse(source, env);
  const blocks: Block[] = [];
  for (let i = 0; i < tokens.length; ) {
    let end = i;
    for (let depth = tokens[i]!.nesting; depth > 0; depth += tokens[++end]!.nesting);
    const [first, last] = tokens[i]!.map ?? [0, 0];
    const begin = lineStarts[first] ?? 0;
    const piece = source.slice(begin, lineStarts[Math.min(last, lineStarts.length - 1)]);
    const start = from + begin;
    const token = tokens[i]!;
    if (token.type === 'fence' || token.type === 'code_block') {
      const language = languageOf(token.info);
      const closed = token.type === 'code_block' || isClosed(piece, token.markup);
      blocks.push({ kind: 'code', start, source: piece, language, code: token.content.replace(/\n$/, ''), open: !closed });
    } else {
      const html = clean(markdown.renderer.render(tokens.slice(i, end + 1), markdown.options, env));
      blocks.push({ kind: 'html', start, source: piece, html });
    }
    i = end + 1;
  }
  return blocks;
}

function isClosed(piece: string, fence: string): boolean {
  const lines = piece.trimEnd().split('\n');
  return lines.length > 1 && lines.at(-1)!.trim().startsWith(fence);
}

/** Markdown as a screen reader should speak it: without marks, code named but not read out. */
export function toSpeech(text: string, code: string): string {
  return text
    .replace(/(```|~~~)[\s\S]*?(\1|$)/g, ` ${code} `)
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/^[\s>]*(#{1,6}|[-*+]|\d+\.)\s+/gm, '')
    .replace(/[*_`|~]+/g, '')
    .replace(/\s+/g, ' ')
    .trim();
}

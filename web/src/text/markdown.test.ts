import { describe, expect, it } from 'vitest';
import { escapeHtml, highlight } from './highlight';
import { growBlocks, toBlocks, toSpeech, type Block } from './markdown';

/** What a browser makes of the blocks, with code blocks as the component shows them. */
function dom(text: string): HTMLElement {
  const root = document.createElement('div');
  root.innerHTML = toBlocks(text)
    .map((b) => (b.kind === 'html' ? b.html : `<pre>${highlight(b.code, b.language)}</pre>`))
    .join('');
  return root;
}

const kAttacks = [
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '<svg/onload=alert(1)>',
  '<iframe srcdoc="<script>alert(1)</script>">',
  '<a href="javascript:alert(1)">x</a>',
  '<style>*{display:none}</style>',
  '<math><mtext></mtext><mglyph><svg><mtext><style><img src=x onerror=alert(1)></style></mtext></svg></mglyph></math>',
  '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
  '<form action="https://evil.example"><button>x</button></form>',
  '[x](javascript:alert(1))',
  '[x](JaVaScRiPt:alert(1))',
  '[x](java\nscript:alert(1))',
  '[x](&#106;avascript:alert(1))',
  '[x](javascript&colon;alert(1))',
  '[x](vbscript:msgbox(1))',
  '[x](data:text/html,<script>alert(1)</script>)',
  '[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)',
  '[x](file:///etc/passwd)',
  '[x](//evil.example/x)',
  '[x](/v1/models)',
  '[x]: javascript:alert(1)\n\n[x]',
  '![x](javascript:alert(1))',
  '![x](https://evil.example/pixel.png)',
  '![x](https://evil.example/"onerror="alert(1))',
  '![x](data:image/svg+xml,<svg onload=alert(1)>)',
  '![" onerror="alert(1)](https://evil.example/a.png)',
  '[x](https://evil.example "\\" onmouseover=alert(1) \\"")',
  '<https://evil.example/?"onclick="alert(1)>',
  '<javascript:alert(1)>',
  '```html\n<script>alert(1)</script>\n```',
  '```"><img src=x onerror=alert(1)>\nx\n```',
  '~~~<script>\n</pre><script>alert(1)</script>\n~~~',
  '- ```\n  </code></pre><img src=x onerror=alert(1)>\n  ```',
  '| <img src=x onerror=alert(1)> | b |\n|---|---|\n| `</td><script>` | [x](javascript:1) |',
  '`<img src=x onerror=alert(1)>`',
  '# <svg onload=alert(1)>',
  '&lt;script&gt;alert(1)&lt;/script&gt;',
];

describe('Markdown from a stranger', () => {
  it.each(kAttacks)('stays text: %j', (attack) => {
    const root = dom(attack);
    expect(root.querySelectorAll('script, img, svg, iframe, style, form, object, embed, math, link, meta, input')).toHaveLength(0);
    for (const element of root.querySelectorAll('*')) {
      for (const { name, value } of element.attributes) {
        expect(name).not.toMatch(/^on|^style$|^srcdoc$|^id$/);
        if (name === 'href') expect(value).toMatch(/^(https?:\/\/|mailto:)/);
      }
    }
  });

  it('opens links elsewhere, without a referrer, and shows where they lead', () => {
    const link = dom('[bank](https://evil.example/login)').querySelector('a')!;
    expect(link.getAttribute('rel')).toBe('noopener noreferrer nofollow');
    expect(link.getAttribute('target')).toBe('_blank');
    expect(link.title).toBe('https://evil.example/login');
    expect(link.textContent).toBe('bank (evil.example)');
    expect(dom('https://example.com/a').querySelector('a')!.textContent).toBe('https://example.com/a');
    expect(dom('[good.example](https://evil.example)').textContent).toContain('(evil.example)');
  });

  it('shows an image as a link', () => {
    const link = dom('![cat](https://pics.example/cat.png)').querySelector('a')!;
    expect(link.textContent).toBe('🖼 cat (pics.example)');
    expect(link.getAttribute('href')).toBe('https://pics.example/cat.png');
  });
});

const kAnswer = [
  'Here is **how**, with `code` and a [link](https://example.com).\nSecond line', '#hashtag', '', '- one', '- two', '  - nested', '',
  '  still two', '', '1. a', '2. b', '', 'Title', '=====', '', '```python', 'def f():', '    """x"""', '', '    return 1', '```', '',
  '| a | b |', '|---|---|', '| 1 | 한글 |', '', '> quote', '> more', '', '~~~', 'unclosed? no', '~~~', '', '***', '', 'End 👋.',
].join('\n');

const shown = (blocks: readonly Block[]) =>
  blocks.map((b) => (b.kind === 'html' ? b.html : { code: b.code, language: b.language, open: b.open }));

describe('growBlocks', () => {
  it('equals a fresh parse after every character', () => {
    let blocks: readonly Block[] = [];
    for (let n = 1; n <= kAnswer.length; ++n) {
      const text = kAnswer.slice(0, n);
      blocks = growBlocks(text, blocks);
      expect(shown(blocks)).toEqual(shown(toBlocks(text)));
    }
  });

  it('equals a fresh parse for random texts that grow in random steps', () => {
    const pieces = [
      'word ', '\n', '\n\n', '- item', '1. one', '  ', '```', '```js\n', '`x`', '**b**', '# ', '> q', '| a | b |', '|---|---|',
      '---', '===', '#', '[l](https://e.example)', '한글 ', '~~~\n', '    code', '<b>', '*', '_', '\\', '\t',
    ];
    for (let seed = 1; seed <= 12; ++seed) {
      let random = seed;
      const next = (n: number) => (random = (random * 48271) % 2147483647) % n;
      let text = '';
      let blocks: readonly Block[] = [];
      for (let step = 0; step < 40; ++step) {
        text += pieces[next(pieces.length)];
        blocks = growBlocks(text, blocks);
        expect(shown(blocks), `seed ${seed}: ${JSON.stringify(text)}`).toEqual(shown(toBlocks(text)));
      }
    }
  });

  it('leaves finished blocks untouched', () => {
    const early = growBlocks(kAnswer.slice(0, -40), []);
    const late = growBlocks(kAnswer, early);
    const same = early.filter((b, i) => b === late[i]).length;
    expect(same).toBeGreaterThanOrEqual(early.length - 2);
  });

  it('starts over when the text is another one', () => {
    const blocks = growBlocks('# Other\n\ntext', growBlocks(kAnswer, []));
    expect(shown(blocks)).toEqual(shown(toBlocks('# Other\n\ntext')));
  });

  it('knows an open fence from a closed one', () => {
    const open = (text: string) => toBlocks(text).map((b) => b.kind === 'code' && b.open);
    expect(open('```js\nlet a')).toEqual([true]);
    expect(open('```js\nlet a\n```')).toEqual([false]);
    expect(open('```js')).toEqual([true]);
    expect(open('    indented')).toEqual([false]);
  });
});

describe('highlight', () => {
  it('marks known languages and escapes others', () => {
    expect(highlight('def f(): pass', 'python')).toContain('hljs-keyword');
    expect(highlight('<b>', 'nosuch')).toBe('&#60;b&#62;');
    expect(highlight('<b>&"', 'python')).not.toContain('<b>');
    expect(highlight('int x;', 'c++')).toContain('hljs-type');
  });

  it('leaves huge code plain', () => {
    const code = 'x = 1\n'.repeat(20_000);
    expect(highlight(code, 'python')).toBe(escapeHtml(code));
  });
});

describe('toSpeech', () => {
  it('drops marks, names code', () => {
    expect(toSpeech('## Hi **you**\n\n- [a](https://x.example)\n\n```js\nlet\n```\n끝', 'code')).toBe('Hi you a code 끝');
    expect(toSpeech('```js\nlet a', 'code')).toBe('code');
  });
});

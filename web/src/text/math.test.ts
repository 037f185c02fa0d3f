import { beforeAll, describe, expect, it } from 'vitest';
import { toBlocks } from './markdown';
import { isMathLoaded, kFormulaCharsMax, loadMath, mayHoldMath, renderMath } from './math';

function dom(text: string): HTMLElement {
  const root = document.createElement('div');
  root.innerHTML = toBlocks(text).map((b) => (b.kind === 'html' ? b.html : b.code)).join('');
  return root;
}

it('shows the source until KaTeX is there', () => {
  expect(isMathLoaded()).toBe(false);
  expect(dom('\\(a<b\\)').querySelector('code')!.textContent).toBe('a<b');
});

describe('with KaTeX', () => {
  beforeAll(() => loadMath());

  it.each([
    ['\\(x^2\\)', 'x2', 'inline'], ['so $x^2$.', 'x2', 'inline'], ['$$x^2$$', 'x2', 'block'],
    ['\\[\nx^2\n\\]', 'x2', 'block'], ['text\n$$\nx\n$$\nmore', 'x', 'block'], ['- item\n\n  \\[ x \\]', 'x', 'block'],
    ['in $$x$$ line', 'x', 'inline'],
  ])('draws %j', (text, shown, display) => {
    const math = dom(text).querySelector('math')!;
    expect(math.textContent).toBe(shown);
    expect(math.getAttribute('display')).toBe(display === 'block' ? 'block' : null);
  });

  it.each(['$5 and $6', 'costs $5.00, or $7', 'a $ b $ c', '`$x$`', '```\n$x$\n```', '$$\nnever closed', '\\$x\\$', '$HOME and $PATH'])(
    'leaves %j alone', (text) => expect(dom(text).querySelector('math')).toBeNull());

  it('keeps a wrong, hostile or huge formula as source', () => {
    expect(dom('$\\frac{$').querySelector('math')).toBeNull();
    expect(renderMath('\\nosuch', false)).toBe('<code>\\nosuch</code>');
    expect(renderMath('x'.repeat(kFormulaCharsMax + 1), false)).toContain('<code>');
    const hostile = dom('\\(\\href{javascript:alert(1)}{x}\\) \\(\\includegraphics{https://e.example/x.png}\\) \\(\\htmlStyle{color:red}{x}\\)');
    expect(hostile.querySelectorAll('a, img, [style], [href]')).toHaveLength(0);
    expect(renderMath('\\def\\a{\\a\\a}\\a', false)).toContain('<code>');
  });

  it('is not loaded for texts without a formula', () => {
    expect(['plain', 'a (b) [c]'].some(mayHoldMath)).toBe(false);
  });
});

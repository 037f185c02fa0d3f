/** The page against a stand-in whose every byte the test decides: timing, branches, faults. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch, visit, type Visit } from './browser';
import { StandIn } from './standin';

const kAxe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const kPhone: BrowserContextOptions = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

let browser: Browser;
let server: StandIn;
let visits: Visit[] = [];

beforeAll(async () => {
  browser = await launch();
  server = new StandIn();
  await server.start();
});
afterAll(async () => {
  await browser.close();
  await server.stop();
});
afterEach(async () => {
  const errors = visits.flatMap((v) => v.errors);
  for (const { page } of visits) await page.context().close();
  visits = [];
  expect(errors).toEqual([]);
});

async function open(options: BrowserContextOptions = {}): Promise<Page> {
  const made = await visit(browser, server.url, options);
  visits.push(made);
  await made.page.locator('.picker .name', { hasText: 'smollm2:135m' }).waitFor();
  return made.page;
}

async function ask(page: Page, text: string) {
  await page.locator('#composer').fill(text);
  await page.locator('#composer').press('Enter');
  return server.turn();
}

/** Asks and answers at once. */
async function exchange(page: Page, question: string, answer: string): Promise<void> {
  const turn = await ask(page, question);
  turn.say(answer);
  turn.end();
  await page.locator('article').last().and(page.locator('[data-status=done]')).waitFor();
}

const answers = (page: Page) => page.locator('.assistant .prose');
/** Text inside the conversation: what is announced to screen readers is elsewhere. */
const said = (page: Page, text: string) => page.locator('article').getByText(text);
const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });

describe('an answer', () => {
  it('streams, is highlighted while it comes, and tells its speed', async () => {
    const page = await open();
    const turn = await ask(page, 'Show me code');
    expect(turn.asked).toMatchObject({ model: 'smollm2:135m', stream: true, messages: [{ role: 'user', content: 'Show me code' }] });
    await page.getByText('Reading your message').waitFor();
    turn.read(512, 2048);
    await page.getByText('Reading your message: 25 %').waitFor();
    turn.say('Here:\n\n```python\ndef f():\n    ret');
    await page.locator('.code .hljs-keyword', { hasText: 'def' }).waitFor();
    const title = await page.locator('.code .hljs-title').elementHandle();
    turn.say('urn 1');
    await page.locator('.code code', { hasText: 'return 1' }).waitFor();
    expect(await title!.evaluate((e) => e.isConnected), 'a finished line is not drawn again').toBe(true);
    turn.say('\n```\n\nDone.');
    turn.end();
    await page.locator('.assistant[data-status=done]').waitFor();
    expect(await page.locator('.code figcaption span').textContent()).toBe('python');
    expect(await page.locator('.code .hljs-keyword').allTextContents()).toEqual(['def', 'return']);
    expect(await page.locator('.stats').textContent()).toMatch(/39\.0 tokens\/s.*118 tokens.*smollm2:135m/);
  });

  it('is copied, whole or a code block', async () => {
    const page = await open({ permissions: ['clipboard-read', 'clipboard-write'] });
    const text = 'See:\n\n```js\nlet a = "<b>";\n```\n';
    await exchange(page, 'Q', '1. Run:\n\n   ```sh\n   make all\n   ```\n');
    await page.locator('.prose li').getByRole('button', { name: 'Copy' }).click();
    await page.locator('.prose li').getByRole('button', { name: 'Copied' }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('make all');
    await exchange(page, 'Q', text);
    const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
    await button(page, 'Copy code').click();
    await page.locator('.prose > .code').getByRole('button', { name: 'Copied' }).waitFor();
    expect(await clipboard()).toBe('let a = "<b>";');
    await page.locator('.assistant .actions').last().getByRole('button', { name: 'Copy' }).click();
    await expect.poll(clipboard).toBe(text);
  });

  it('stops by button and by Escape, frees the server, and can be continued', async () => {
    const page = await open();
    let turn = await ask(page, 'Long story');
    turn.say('Once upon');
    await said(page, 'Once upon').waitFor();
    await button(page, 'Stop').click();
    await turn.gone;
    await page.locator('.assistant[data-status=stopped]').waitFor();
    expect(await answers(page).textContent()).toContain('Once upon');
    await button(page, 'Continue').click();
    turn = await server.turn();
    expect(turn.asked.messages).toEqual([
      { role: 'user', content: 'Long story' }, { role: 'assistant', content: 'Once upon' },
    ]);
    expect(turn.asked.continue_final_message).toBe(true);
    turn.say(' a time.');
    await said(page, 'Once upon a time.').waitFor();
    await page.keyboard.press('Escape');
    await turn.gone;
    await page.locator('.assistant[data-status=stopped]').waitFor();
  });

  it('is made again beside the old one, and the reader goes back and forth', async () => {
    const page = await open();
    await exchange(page, 'Q', 'first answer');
    await button(page, 'Answer again').click();
    const turn = await server.turn();
    expect(turn.asked.messages).toEqual([{ role: 'user', content: 'Q' }]);
    turn.say('second answer');
    turn.end();
    await said(page, 'second answer').waitFor();
    await page.getByRole('group', { name: 'Version 2 of 2' }).waitFor();
    await button(page, 'Previous version').click();
    await said(page, 'first answer').waitFor();
    expect(await said(page, 'second answer').count()).toBe(0);
    await exchange(page, 'next', 'below the first');
    await button(page, 'Next version').click();
    await said(page, 'second answer').waitFor();
    expect(await said(page, 'below the first').count()).toBe(0);
    await button(page, 'Previous version').click();
    await said(page, 'below the first').waitFor();
  });

  it('is asked for again when a question is edited, which keeps the old branch', async () => {
    const page = await open();
    await exchange(page, 'Original question', 'original answer');
    await page.locator('#composer').press('ArrowUp');
    const editor = page.getByRole('textbox', { name: 'Edit message' });
    await editor.fill('Edited question');
    await editor.press('Enter');
    const turn = await server.turn();
    expect(turn.asked.messages).toEqual([{ role: 'user', content: 'Edited question' }]);
    turn.say('edited answer');
    turn.end();
    await said(page, 'edited answer').waitFor();
    await button(page, 'Previous version').click();
    await said(page, 'original answer').waitFor();
  });
});

describe('conversations', () => {
  it('survive a reload with branch, draft and address, also in mid-answer', async () => {
    const page = await open();
    await exchange(page, 'Keep me', 'kept answer');
    const turn = await ask(page, 'And this');
    turn.say('half an answer');
    await said(page, 'half an answer').waitFor();
    await page.locator('#composer').fill('unsent words');
    await page.reload();
    await said(page, 'kept answer').waitFor();
    await said(page, 'half an answer').waitFor();
    await page.getByText('The page was closed before this answer was complete.').waitFor();
    await button(page, 'Continue').waitFor();
    expect(await page.locator('#composer').inputValue()).toBe('unsent words');
    expect(page.url()).toMatch(/#\/chat\/[0-9a-f]+$/);
    expect(await page.title()).toBe('Keep me · Maru');
  });

  it('stream side by side', async () => {
    const page = await open();
    const one = await ask(page, 'First chat');
    one.say('from one');
    await said(page, 'from one').waitFor();
    await page.keyboard.press('Control+Shift+O');
    await page.getByText('What’s on your mind?').waitFor();
    const two = await ask(page, 'Second chat');
    two.say('from two');
    await said(page, 'from two').waitFor();
    one.say(' and more');
    one.end();
    await page.getByRole('button', { name: 'First chat', exact: true }).click();
    await said(page, 'from one and more').waitFor();
    await page.locator('.assistant[data-status=done]').waitFor();
    two.end();
    await page.goBack();
    await said(page, 'from two').waitFor();
  });

  it('are searched, renamed, deleted and brought back', async () => {
    const page = await open();
    await exchange(page, 'About whales', 'They sing.');
    await button(page, 'New chat').click();
    await exchange(page, 'About trees', 'They stand.');
    const rows = page.locator('nav li');
    await page.getByRole('searchbox').fill('sing');
    await expect.poll(() => rows.count()).toBe(1);
    await page.getByRole('searchbox').fill('');
    await rows.filter({ hasText: 'About trees' }).hover();
    await button(page, 'Rename: About trees').click();
    await page.getByRole('textbox', { name: 'Rename' }).fill('나무 이야기');
    await page.getByRole('textbox', { name: 'Rename' }).press('Enter');
    await button(page, 'Delete: 나무 이야기').click();
    await page.getByText('Deleted “나무 이야기”').waitFor();
    await expect.poll(() => rows.count()).toBe(1);
    await button(page, 'Undo').click();
    await expect.poll(() => rows.count()).toBe(2);
    await said(page, 'They stand.').waitFor();
    await page.reload();
    await page.getByRole('button', { name: '나무 이야기', exact: true }).waitFor();
  });

  it('show a change made in another window', async () => {
    const page = await open();
    await exchange(page, 'Shared', 'first');
    const other = await page.context().newPage();
    await other.goto(page.url());
    await said(other, 'first').waitFor();
    await other.locator('#composer').fill('more');
    await other.locator('#composer').press('Enter');
    const turn = await server.turn();
    turn.say('from the other window');
    turn.end();
    await said(page, 'from the other window').waitFor();
  });

  it('are exported as Markdown and JSON', async () => {
    const page = await open();
    await exchange(page, 'Export me', 'Exported **text**');
    const save = async (item: string) => {
      await button(page, 'More').click();
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: item }).click()]);
      return { name: download.suggestedFilename(), text: await readFile(await download.path(), 'utf8') };
    };
    expect(await save('Export as Markdown')).toEqual({
      name: 'Export me.md', text: '# Export me\n\n## You\n\nExport me\n\n## smollm2:135m\n\nExported **text**\n',
    });
    const json = await save('Export as JSON');
    expect((JSON.parse(json.text) as { messages: unknown[] }).messages).toHaveLength(2);
  });
});

describe('faults', () => {
  it('show what the server said', async () => {
    const page = await open();
    const turn = await ask(page, 'Too long');
    turn.refuse(400, 'the prompt has 9001 tokens, the context holds 8192');
    await page.getByRole('alert').getByText('the prompt has 9001 tokens, the context holds 8192').waitFor();
    await button(page, 'Try again').click();
    const again = await server.turn();
    again.say('now it works');
    again.fail('the engine ended');
    await page.getByRole('alert').getByText('the engine ended').waitFor();
    await said(page, 'now it works').waitFor();
  });

  it('keep what came before the connection broke', async () => {
    const page = await open();
    const turn = await ask(page, 'Q');
    turn.say('the first half');
    await said(page, 'the first half').waitFor();
    turn.cut();
    await page.getByText('The connection ended in the middle of the answer.').waitFor();
    await said(page, 'the first half').waitFor();
    await button(page, 'Continue').waitFor();
  });

  it('say that the server is gone, and notice when it is back', async () => {
    const page = await open();
    await exchange(page, 'Q', 'before');
    await server.stop();
    try {
      await page.locator('#composer').fill('anyone?');
      await page.locator('#composer').press('Enter');
      await page.getByText('The server could not be reached.').waitFor();
      await page.getByText('Can’t reach the Maru server. Trying again…').waitFor();
    } finally {
      await server.start();
    }
    await page.getByText('Can’t reach the Maru server.').waitFor({ state: 'detached' });
    await button(page, 'Try again').click();
    const turn = await server.turn();
    turn.say('back again');
    turn.end();
    await said(page, 'back again').waitFor();
  });

  it('say what to do without a chat model', async () => {
    server.models = server.models.slice(-1);
    try {
      const made = await visit(browser, server.url);
      visits.push(made);
      await made.page.getByText('maru pull qwen2.5-coder:1.5b').waitFor();
      await made.page.locator('#composer').fill('hello');
      expect(await button(made.page, 'Send').isDisabled()).toBe(true);
    } finally {
      server.models = (await import('./standin')).kModels;
    }
  });
});

describe('reading', () => {
  const long = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `Paragraph ${from + i} of a long answer.\n\n`).join('');

  it('follows the answer at the end, and never pulls a reader who scrolled up', async () => {
    const page = await open();
    const turn = await ask(page, 'Long');
    const region = page.locator('.scroll');
    const distance = () => region.evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight);
    turn.say(long(0, 40));
    await said(page, 'Paragraph 39').waitFor();
    await expect.poll(distance).toBeLessThan(2);
    await region.hover();
    await page.mouse.wheel(0, -600);
    await button(page, 'Jump to latest').waitFor();
    const top = await region.evaluate((e) => e.scrollTop);
    turn.say(long(40, 80));
    await said(page, 'Paragraph 79').waitFor({ state: 'attached' });
    expect(await region.evaluate((e) => e.scrollTop)).toBe(top);
    await button(page, 'Jump to latest').click();
    await expect.poll(distance).toBeLessThan(2);
    turn.say(long(80, 120));
    turn.end();
    await page.locator('.assistant[data-status=done]').waitFor();
    await expect.poll(distance).toBeLessThan(2);
  });

  it('is announced by paragraphs, not by tokens', async () => {
    const page = await open();
    const live = page.locator('main [role=status][aria-live=polite]');
    const turn = await ask(page, 'Q');
    await live.getByText('Answering…').waitFor({ state: 'attached' });
    turn.say('The **first** paragraph.\n\nThe sec');
    await live.getByText('The first paragraph.', { exact: true }).waitFor({ state: 'attached' });
    turn.say('ond.');
    turn.end();
    await live.getByText('The second. Answer complete.').waitFor({ state: 'attached' });
  });

  it('draws formulas, and fetches what draws them only then', async () => {
    const page = await open();
    const scripts: string[] = [];
    page.on('request', (r) => r.url().endsWith('.js') && scripts.push(r.url()));
    await exchange(page, 'Q', 'No formula here, just $5.');
    await exchange(page, 'Q', 'The root is \\(\\sqrt{x}\\).\n\n$$\\sum_{i=1}^n i$$');
    await page.locator('.prose math msqrt').waitFor();
    await page.locator('.prose math[display=block] munderover').waitFor();
    expect(scripts).toHaveLength(1);
  });

  it('loads nothing from other hosts', async () => {
    const page = await open();
    const foreign: string[] = [];
    page.on('request', (r) => new URL(r.url()).host !== new URL(server.url).host && foreign.push(r.url()));
    await exchange(page, 'Q', '![pixel](https://evil.example/p.png) <img src="https://evil.example/q.png">');
    const link = page.locator('.prose a').first();
    expect(await link.getAttribute('rel')).toContain('noopener');
    expect(await link.textContent()).toContain('evil.example');
    expect(await page.locator('.prose img').count()).toBe(0);
    expect(foreign).toEqual([]);
  });
});

describe('typing', () => {
  it('sends by Enter, breaks the line by Shift+Enter, and not while a syllable is composed', async () => {
    const page = await open();
    const field = page.locator('#composer');
    await field.focus();
    const session = await page.context().newCDPSession(page);
    await session.send('Input.imeSetComposition', { text: '안녕', selectionStart: 2, selectionEnd: 2 });
    // What a Korean keyboard sends for the Enter that ends a composition.
    await session.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', windowsVirtualKeyCode: 229, key: 'Process', code: 'Enter' });
    const composing = await field.evaluate((e) =>
      e.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true })));
    expect(composing, 'the page leaves the key to the input method').toBe(true);
    expect(await page.locator('.user').count()).toBe(0);
    await session.send('Input.insertText', { text: '안녕' });
    expect(await field.inputValue()).toBe('안녕');
    await field.press('Shift+Enter');
    await page.keyboard.type('line two');
    await field.press('Enter');
    const turn = await server.turn();
    expect(turn.asked.messages).toEqual([{ role: 'user', content: '안녕\nline two' }]);
    turn.say('네');
    turn.end();
    await said(page, '네').waitFor();
  });

  it('works by keyboard alone', async () => {
    const page = await open();
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent?.trim());
    expect(await focused()).toBe('Message');
    await page.keyboard.type('keyboard only');
    await page.keyboard.press('Enter');
    const turn = await server.turn();
    turn.say('answer');
    turn.end();
    await page.locator('.assistant[data-status=done]').waitFor();
    await page.keyboard.press('Shift+Tab');
    for (let i = 0; i < 40 && !(await focused())?.includes('smollm2'); ++i) await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('listbox').waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.locator('.picker .name', { hasText: 'qwen2.5-coder:1.5b' }).waitFor();
    await page.getByRole('listbox').waitFor({ state: 'detached' });
    expect(await focused()).toBe('Message');
    await page.locator('.scroll').focus();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await button(page, 'Close').press('Enter');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await focused(), 'a dialog gives the focus back').toBe('Messages');
    await page.keyboard.press('/');
    expect(await focused()).toBe('Message');
    expect(await page.locator('#composer').inputValue()).toBe('');

    // Keys that come after the page has drawn itself anew and before the dialog's `close` event, a task of its own.
    const closedAndAtOnce = (key: string) =>
      page.getByRole('dialog').evaluate(async (dialog, key) => {
        dialog.querySelector<HTMLButtonElement>('header button')?.click();
        await new Promise<void>(queueMicrotask);
        document.activeElement?.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
      }, key);
    const shortcuts = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
    await page.locator('.scroll').focus();
    await page.keyboard.press('?');
    await shortcuts.waitFor();
    await closedAndAtOnce('?');
    await shortcuts.waitFor();
    await closedAndAtOnce('/');
    expect(await focused()).toBe('Message');
    await shortcuts.waitFor({ state: 'detached' });
    await page.locator('.scroll').focus();
    await page.keyboard.press('?');
    await shortcuts.waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('/');
    expect(await focused()).toBe('Message');
  });
});

describe('choices', () => {
  it('name each model, and why one cannot be chosen', async () => {
    const page = await open();
    await page.locator('.picker button').click();
    const base = page.getByRole('option', { name: /gemma3:270m/ });
    expect(await base.getAttribute('aria-disabled')).toBe('true');
    expect(await base.textContent()).toContain('can’t hold a conversation');
    await base.click({ force: true });
    await page.getByRole('listbox').waitFor();
    const big = page.getByRole('option', { name: /qwen2.5-coder:1.5b/ });
    expect(await big.textContent()).toMatch(/1\.5B parameters.*1\.6 GB.*32K context.*Apache-2\.0/);
    await big.click();
    await page.reload();
    await page.locator('.picker .name', { hasText: 'qwen2.5-coder:1.5b' }).waitFor();
    const turn = await ask(page, 'Q');
    expect(turn.asked.model).toBe('qwen2.5-coder:1.5b');
    turn.end();
  });

  it('of instructions and sampling reach the server, within their ranges', async () => {
    const page = await open();
    await button(page, 'Settings').click();
    await page.getByLabel('Instructions').fill('Answer in one word.');
    const set = async (label: string, value: string) => {
      const field = page.getByRole('spinbutton', { name: label });
      await field.fill(value);
      await field.blur();
    };
    await set('Temperature', '7');
    await set('Top-p', '0.5');
    await set('Longest answer', '64');
    await set('Seed', '42');
    expect(await page.getByRole('spinbutton', { name: 'Temperature' }).inputValue()).toBe('2');
    await page.keyboard.press('Escape');
    const turn = await ask(page, 'Q');
    expect(turn.asked).toMatchObject({
      temperature: 2, top_p: 0.5, max_tokens: 64, seed: 42,
      messages: [{ role: 'system', content: 'Answer in one word.' }, { role: 'user', content: 'Q' }],
    });
    turn.end();
  });

  it('of language and appearance hold over a reload', async () => {
    const page = await open({ colorScheme: 'light' });
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await button(page, 'Settings').click();
    await page.getByRole('radio', { name: 'Dark' }).check({ force: true });
    await expect.poll(background).not.toBe(light);
    const dark = await background();
    await page.getByRole('radio', { name: '한국어' }).check({ force: true });
    await page.getByRole('dialog', { name: '설정' }).waitFor();
    await page.reload();
    await page.getByText('무엇이 궁금하세요?').waitFor();
    expect(await background()).toBe(dark);
    expect(await page.evaluate(() => document.documentElement.lang)).toBe('ko');
  });

  it('follow the browser at first', async () => {
    const page = await open({ locale: 'ko-KR', colorScheme: 'dark' });
    await page.getByText('무엇이 궁금하세요?').waitFor();
    expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe('rgb(25, 23, 21)');
  });
});

describe('on a phone', () => {
  it('everything fits and the list of chats is a drawer', async () => {
    const page = await open({ ...kPhone, locale: 'ko-KR' });
    const turn = await ask(page, '안녕하세요');
    turn.say('네!\n\n```python\nprint("a very long line of code that cannot fit on a phone screen at all, ever")\n```\n');
    turn.end();
    await page.locator('.assistant[data-status=done]').waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    expect(await page.locator('aside').count()).toBe(0);
    await button(page, '대화 목록 열기').click();
    const drawer = page.getByRole('dialog', { name: '대화 목록' });
    await drawer.getByRole('button', { name: '새 대화' }).click();
    await drawer.waitFor({ state: 'detached' });
    await page.getByText('무엇이 궁금하세요?').waitFor();
  });
});

interface AxeResult {
  readonly violations: readonly { readonly id: string; readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[] }[];
}

describe('accessibility (axe-core)', () => {
  async function violations(page: Page): Promise<string[]> {
    await page.addScriptTag({ path: kAxe });
    // A dialog that is still fading in has the contrast of no moment that a person reads at.
    await page.evaluate(() => Promise.all(document.getAnimations()
      .filter((a) => a.effect?.getComputedTiming().iterations !== Infinity)
      .map((a) => a.finished)));
    const result = await page.evaluate(async () =>
      (window as unknown as { axe: { run(): Promise<AxeResult> } }).axe.run());
    return result.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html} ${n.failureSummary}`));
  }

  for (const colorScheme of ['light', 'dark'] as const) {
    for (const [name, viewport] of [['desktop', {}], ['phone', kPhone]] as const) {
      it(`finds nothing, ${colorScheme}, ${name}`, async () => {
        // The checker itself is an injected script, which the page's policy forbids.
        const page = await open({ ...viewport, colorScheme, bypassCSP: true, reducedMotion: 'reduce' });
        expect(await violations(page)).toEqual([]);
        const turn = await ask(page, 'Q');
        turn.say('# T\n\nText with `code` and a [link](https://e.example).\n\n```python\n# comment\n@d\ndef f(x: int) -> str:\n'
          + '    """doc"""\n    return "s" + str(1.5) + None\n```\n\n```diff\n-a\n+b\n```\n\n```json\n{"a": [1, true]}\n```\n\n'
          + '| a | b |\n|---|---|\n| 1 | 2 |\n\n> quote\n\n- item\n\n$$x^2$$\n');
        await page.locator('math').waitFor();
        expect(await violations(page)).toEqual([]);
        turn.end();
        await page.locator('.assistant[data-status=done]').waitFor();
        await button(page, 'Answer again').click();
        (await server.turn()).refuse(400, 'no');
        await page.getByRole('alert').waitFor();
        expect(await violations(page)).toEqual([]);
        await page.locator('.picker button').click();
        await page.getByRole('listbox').waitFor();
        expect(await violations(page)).toEqual([]);
        await page.keyboard.press('Escape');
        await button(page, 'Settings').click();
        await page.getByRole('dialog').waitFor();
        expect(await violations(page)).toEqual([]);
        await page.keyboard.press('Escape');
        if (name === 'phone') {
          await button(page, 'Show chats').click();
          await page.getByRole('dialog').waitFor();
          expect(await violations(page)).toEqual([]);
        }
      });
    }
  }
});

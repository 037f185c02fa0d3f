/** The page as the real server sends it, with real answers from the small model. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch, visit, type Visit } from './browser';
import { kModel, missingServer, startServer, type RealServer } from './server';

const kAnswerMs = 90_000;
const missing = missingServer();
if (missing) console.warn(`real answers are not tested: ${missing}`);

describe.skipIf(missing !== null)('with a real model', () => {
  let browser: Browser;
  let server: RealServer;
  let visits: Visit[] = [];

  beforeAll(async () => {
    server = await startServer();
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });
  afterEach(async () => {
    const errors = visits.flatMap((v) => v.errors);
    for (const { page } of visits) await page.context().close();
    visits = [];
    expect(errors).toEqual([]);
  });

  /** A new visitor who chose the small model, greedy and short answers. */
  async function open(locale = 'en-US', maxTokens = 48): Promise<Page> {
    const made = await visit(browser, server.url, { locale });
    visits.push(made);
    const { page } = made;
    await page.locator('.picker button').click();
    await page.getByRole('option', { name: new RegExp(kModel) }).click();
    await page.getByRole('button', { name: /^(Settings|설정)$/ }).click();
    for (const [label, value] of [[/^(Temperature|온도)$/, '0'], [/^(Longest answer|최대 답변 길이)$/, String(maxTokens)]] as const) {
      const field = page.getByRole('spinbutton', { name: label });
      await field.fill(value);
      await field.blur();
    }
    await page.keyboard.press('Escape');
    return page;
  }

  async function ask(page: Page, text: string): Promise<void> {
    await page.locator('#composer').fill(text);
    await page.locator('#composer').press('Enter');
  }

  const last = (page: Page) => page.locator('article').last();
  const finished = (page: Page) =>
    last(page).and(page.locator('[data-status=done], [data-status=length]')).waitFor({ timeout: kAnswerMs });
  const answerText = (page: Page) => last(page).locator('.prose').innerText();

  it.each([
    ['en-US', 'What is the capital of France? Answer in one short sentence.', /Paris/],
    ['ko-KR', '안녕하세요! 한 문장으로 인사해 주세요.', /\S/],
  ])('answers in %s, with tokens and speed', async (locale, question, expected) => {
    const page = await open(locale);
    await page.evaluate(() => {
      const seen = new Set<string>();
      (window as unknown as { seen: Set<string> }).seen = seen;
      const note = () => seen.add(document.querySelector('.assistant .prose')?.textContent ?? '');
      new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true });
    });
    await ask(page, question);
    await finished(page);
    expect(await answerText(page)).toMatch(expected);
    const steps = await page.evaluate(() => (window as unknown as { seen: Set<string> }).seen.size);
    // How many steps one sees depends on the machine: page.test.ts has the growing text.
    expect(steps, 'nothing, then text').toBeGreaterThan(1);
    expect(await last(page).locator('.stats').innerText()).toMatch(/\d+(\.\d)?/);
    expect(await last(page).locator('.stats').innerText()).toMatch(locale === 'ko-KR' ? /초당 [\d.]+토큰/ : /[\d.]+ tokens\/s/);
    expect(await page.title()).toContain(question.slice(0, 10));
  });

  it('stops a long answer at once, and answers the next question', async () => {
    const page = await open('en-US', 2000);
    await ask(page, 'Write a very long story about a wooden house and its floor.');
    await last(page).locator('.prose').waitFor({ timeout: kAnswerMs });
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await last(page).and(page.locator('[data-status=stopped]')).waitFor();
    const text = await answerText(page);
    expect(text.length).toBeGreaterThan(0);
    await page.getByRole('button', { name: 'Settings', exact: true }).click();
    await page.getByRole('spinbutton', { name: 'Longest answer' }).fill('8');
    await page.keyboard.press('Escape');
    await ask(page, 'Say hello.');
    await finished(page);
    expect(await answerText(page)).not.toBe('');
    expect(await page.locator('.assistant .prose').first().innerText()).toBe(text);
  });

  it('gives the same greedy answer again, as a second version that survives a reload', async () => {
    const page = await open('en-US', 24);
    await ask(page, 'Name three colours.');
    await finished(page);
    const first = await answerText(page);
    await page.getByRole('button', { name: 'Answer again' }).click();
    await page.getByRole('group', { name: 'Version 2 of 2' }).waitFor({ timeout: kAnswerMs });
    await finished(page);
    expect(await answerText(page)).toBe(first);
    await page.reload();
    await page.getByRole('group', { name: 'Version 2 of 2' }).waitFor();
    expect(await answerText(page)).toBe(first);
  });

  it('remembers the turns before', async () => {
    const page = await open('en-US', 40);
    await ask(page, 'My name is Sora. Remember it.');
    await finished(page);
    await ask(page, 'What is my name? Repeat it.');
    await expect.poll(() => page.locator('.assistant').count()).toBe(2);
    await finished(page);
    expect(await answerText(page)).toContain('Sora');
  });

  it('streams two conversations side by side', async () => {
    const page = await open('en-US', 400);
    await ask(page, 'Tell me about rivers.');
    await last(page).locator('.prose').waitFor({ timeout: kAnswerMs });
    await page.keyboard.press('Control+Shift+O');
    await ask(page, 'Tell me about mountains.');
    await last(page).locator('.prose').waitFor({ timeout: kAnswerMs });
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await last(page).and(page.locator('[data-status=stopped]')).waitFor();
    await page.getByRole('button', { name: 'Tell me about rivers.', exact: true }).click();
    await page.locator('.bubble', { hasText: 'rivers' }).waitFor();
    await finished(page);
  });

  it('shows the server\'s own words for a prompt that does not fit', async () => {
    const page = await open();
    await ask(page, 'wood '.repeat(40_000));
    const alert = page.getByRole('alert');
    await alert.waitFor({ timeout: kAnswerMs });
    expect(await alert.innerText()).toMatch(/\d{4,}[^]*\d{4,}/);
  });

  it('takes control tokens that a person types as text', async () => {
    const page = await open('en-US', 8);
    await ask(page, 'Repeat: <|im_end|><|im_start|>');
    await finished(page);
    expect(await page.locator('.bubble').innerText()).toBe('Repeat: <|im_end|><|im_start|>');
  });

  it('marks the base model, where one is installed', async ({ skip }) => {
    const models = (await (await fetch(`${server.url}/v1/models`)).json()) as { data: { id: string; meta: { kind: string } }[] };
    const base = models.data.find((m) => m.meta.kind === 'base');
    if (!base) return skip('no base model is installed');
    const page = await open();
    await page.locator('.picker button').click();
    const option = page.getByRole('option', { name: new RegExp(base.id) });
    expect(await option.getAttribute('aria-disabled')).toBe('true');
    expect(await option.innerText()).toContain('Base model');
  });

  it('is sent under a policy without inline code, and its assets are kept', async () => {
    const response = await fetch(server.url);
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe|\*/);
    const asset = /src="(\/assets\/[^"]+\.js)"/.exec(await response.text())?.[1];
    expect((await fetch(server.url + asset)).headers.get('cache-control')).toContain('immutable');
  });
});

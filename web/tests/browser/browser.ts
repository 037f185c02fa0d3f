/** Starts Debian's Chromium and opens pages that report whatever goes wrong in them. */
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

/** A browser without a network of its own. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  });
}

/** A page in a storage of its own, and the errors and policy violations that it logged. */
export interface Visit {
  readonly page: Page;
  readonly errors: string[];
}

/** Opens `url` as a new visitor. */
export async function visit(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ locale: 'en-US', viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    // Failed requests are logged by the browser too; tests that cause them say so.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) errors.push(message.text());
  });
  await page.goto(url);
  await page.locator('#composer').waitFor();
  return { page, errors };
}

/**
 * Small things in localStorage: preferences and drafts. Whatever is unreadable counts as absent, and
 * a browser that refuses storage loses only these.
 */
import { kDefaultSettings } from '../state/settings';
import type { Prefs, Settings } from '../state/types';
import type { Changes } from './database';
import { detectLocale, isLocale } from '../i18n';

const kPrefs = 'maru.prefs';
const kDrafts = 'maru.drafts';
const kUnsaved = 'maru.unsaved';

function read(key: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(key) ?? '{}');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function write(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Private windows and full disks: the page works without.
  }
}

/** The preferences of the last visit, or those that the browser suggests. */
export function loadPrefs(languages: readonly string[]): Prefs {
  const { locale, theme, model, settings, sidebar } = read(kPrefs);
  return {
    locale: isLocale(locale) ? locale : detectLocale(languages),
    theme: theme === 'light' || theme === 'dark' ? theme : 'system',
    model: typeof model === 'string' ? model : null,
    settings: { ...kDefaultSettings, ...(settings as Partial<Settings> | undefined) },
    sidebar: sidebar !== false,
  };
}

/** Keeps the preferences. */
export function savePrefs(prefs: Prefs): void {
  write(kPrefs, prefs);
}

/** Unsent texts of the last visit. */
export function loadDrafts(): Record<string, string> {
  const drafts = Object.entries(read(kDrafts)).filter(([, v]) => typeof v === 'string');
  return Object.fromEntries(drafts) as Record<string, string>;
}

/** Keeps unsent texts. */
export function saveDrafts(drafts: Readonly<Record<string, string>>): void {
  write(kDrafts, drafts);
}

/** Keeps what the database had no time for when the page went away. */
export function keepUnsaved(changes: Changes): void {
  write(kUnsaved, changes);
}

/** What keepUnsaved() kept, once. */
export function takeUnsaved(): Changes | null {
  const { put, remove } = read(kUnsaved) as Partial<Changes>;
  try {
    localStorage.removeItem(kUnsaved);
  } catch {
    return null;
  }
  const lists = [put?.chats, put?.messages, remove?.chats, remove?.messages];
  return put && remove && lists.every(Array.isArray) ? { put, remove } : null;
}

/** The languages of the page: one typed dictionary each, chosen by the reader or the browser. */
import { en, type Dictionary } from './en';
import { ko } from './ko';

/** A language that the page speaks. */
export type Locale = 'en' | 'ko';

export type { Dictionary };

/** All languages by code, each with its own name for itself. */
export const kLocales: Readonly<Record<Locale, { readonly name: string; readonly texts: Dictionary }>> = {
  en: { name: 'English', texts: en },
  ko: { name: '한국어', texts: ko },
};

/** Whether a stored value names a language. */
export function isLocale(value: unknown): value is Locale {
  return typeof value === 'string' && Object.hasOwn(kLocales, value);
}

/** The first of the browser's languages that the page speaks, else English. */
export function detectLocale(languages: readonly string[]): Locale {
  for (const language of languages) {
    const code = language.toLowerCase().split('-')[0];
    if (isLocale(code)) return code;
  }
  return 'en';
}

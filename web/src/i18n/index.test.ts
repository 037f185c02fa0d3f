import { describe, expect, it } from 'vitest';
import { kLocales, detectLocale, isLocale } from './index';

function leaves(value: unknown, path = ''): [string, unknown][] {
  if (typeof value !== 'object' || value === null) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, `${path}.${key}`));
}

describe('dictionaries', () => {
  const en = leaves(kLocales.en.texts);
  const ko = leaves(kLocales.ko.texts);

  it('have the same entries', () => {
    expect(ko.map(([k, v]) => [k, typeof v])).toEqual(en.map(([k, v]) => [k, typeof v]));
  });

  it('leave nothing empty and nothing untranslated', () => {
    for (const [, text] of [...en, ...ko]) if (typeof text === 'string') expect(text.trim()).not.toBe('');
    const withoutHangul = ko.filter(([, v]) => typeof v === 'string' && !/[가-힣]/.test(v)).map(([k]) => k);
    expect(withoutHangul).toEqual(['.topP']);
  });

  it('put their arguments to use', () => {
    for (const { texts } of Object.values(kLocales)) {
      expect(texts.removed('제목')).toContain('제목');
      expect(texts.version(2, 3)).toMatch(/2.*3/);
      expect(texts.speed('9.5')).toContain('9.5');
      expect(texts.tokens(1)).toContain('1');
      expect(texts.statsDetail(7, '0.5', '1.5')).toMatch(/7.*0\.5.*1\.5/);
    }
    expect([kLocales.en.texts.tokens(1), kLocales.en.texts.tokens(2)]).toEqual(['1 token', '2 tokens']);
  });
});

describe('detectLocale', () => {
  it.each([
    [['ko-KR', 'en'], 'ko'], [['en-US', 'ko'], 'en'], [['fr', 'KO'], 'ko'], [['fr-FR'], 'en'], [[], 'en'],
  ] as const)('%j -> %s', (languages, locale) => expect(detectLocale(languages)).toBe(locale));

  it('takes only known codes from storage', () => {
    expect([isLocale('ko'), isLocale('xx'), isLocale('toString'), isLocale(3)]).toEqual([true, false, false, false]);
  });
});

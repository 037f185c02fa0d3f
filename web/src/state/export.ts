/** A conversation as a file that the reader keeps. Pure. */
import { pathTo } from './tree';
import type { Chat, Message, Messages } from './types';

/** The branch in view as Markdown. */
export function toMarkdown(chat: Chat, messages: Messages, you: string): string {
  const turns = pathTo(messages, chat.leaf).map((m) => `## ${speaker(m, you)}\n\n${m.text.trim()}\n`);
  return `# ${chat.title}\n\n${turns.join('\n')}`;
}

/** The whole tree, with all branches, as JSON. */
export function toJson(chat: Chat, messages: Messages): string {
  const all = Object.values(messages).sort((a, b) => a.created - b.created);
  return `${JSON.stringify({ format: 'maru-chat', version: 1, chat, messages: all }, null, 2)}\n`;
}

/** A file name from a title: no separators, no control characters, never empty. */
export function fileName(title: string, extension: string): string {
  const name = title.replace(/[\p{Cc}\\/:*?"<>|.]+/gu, ' ').replace(/\s+/g, ' ').trim().slice(0, 60);
  return `${name || 'chat'}.${extension}`;
}

function speaker(message: Message, you: string): string {
  return message.role === 'user' ? you : (message.model ?? 'Maru');
}

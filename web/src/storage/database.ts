/**
 * Conversations in the browser's IndexedDB, one row per conversation and per message, so that two
 * pages never overwrite each other's. Called by the runtime only. Promises reject where the browser
 * refuses storage; the runtime then goes on without it and says so.
 */
import type { Chat, Message, State } from '../state/types';

const kName = 'maru';
const kVersion = 1;

/** What one change of state means for storage. */
export interface Changes {
  readonly put: { readonly chats: readonly Chat[]; readonly messages: readonly Message[] };
  readonly remove: { readonly chats: readonly string[]; readonly messages: readonly string[] };
}

/** Opens the database, creating it at the first visit. */
export function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(kName, kVersion);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('chats', { keyPath: 'id' });
      request.result.createObjectStore('messages', { keyPath: 'id' }).createIndex('chat', 'chat');
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('storage refused'));
  });
}

/** All that was kept. */
export async function loadAll(db: IDBDatabase): Promise<{ chats: Chat[]; messages: Message[] }> {
  const tx = db.transaction(['chats', 'messages']);
  const chats = result<Chat[]>(tx.objectStore('chats').getAll());
  const messages = result<Message[]>(tx.objectStore('messages').getAll());
  return { chats: await chats, messages: await messages };
}

/** One conversation as it is kept now; null where it was deleted. */
export async function loadChat(db: IDBDatabase, id: string): Promise<{ chat: Chat | null; messages: Message[] }> {
  const tx = db.transaction(['chats', 'messages']);
  const chat = result<Chat | undefined>(tx.objectStore('chats').get(id));
  const messages = result<Message[]>(tx.objectStore('messages').index('chat').getAll(id));
  return { chat: (await chat) ?? null, messages: await messages };
}

/** Writes in one transaction; resolves once it is durable. */
export function save(db: IDBDatabase, changes: Changes): Promise<void> {
  return new Promise((resolve, reject) => {
    const tx = db.transaction(['chats', 'messages'], 'readwrite');
    tx.oncomplete = () => resolve();
    tx.onerror = tx.onabort = () => reject(tx.error ?? new Error('storage refused'));
    const chats = tx.objectStore('chats');
    const messages = tx.objectStore('messages');
    for (const chat of changes.put.chats) chats.put(chat);
    for (const message of changes.put.messages) messages.put(message);
    for (const id of changes.remove.chats) chats.delete(id);
    for (const id of changes.remove.messages) messages.delete(id);
  });
}

/** What differs between what is kept and `now`, found by identity since states are immutable. */
export function changesBetween(kept: State, now: State): Changes {
  const chats = differing(kept.chats, now.chats);
  const put: Message[] = [];
  const remove: string[] = [];
  for (const id of new Set([...Object.keys(kept.messages), ...Object.keys(now.messages)])) {
    if (kept.messages[id] === now.messages[id]) continue;
    const messages = differing(kept.messages[id] ?? {}, now.messages[id] ?? {});
    put.push(...messages.put);
    remove.push(...messages.remove);
  }
  return { put: { chats: chats.put, messages: put }, remove: { chats: chats.remove, messages: remove } };
}

/** The conversations that a change touches. */
export function touched(changes: Changes): readonly string[] {
  const { put, remove } = changes;
  return [...new Set([...put.chats.map((c) => c.id), ...put.messages.map((m) => m.chat), ...remove.chats])];
}

function differing<T>(kept: Readonly<Record<string, T>>, now: Readonly<Record<string, T>>) {
  const put = Object.entries(now).filter(([id, value]) => kept[id] !== value).map(([, value]) => value);
  const remove = Object.keys(kept).filter((id) => !(id in now));
  return { put, remove };
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('storage refused'));
  });
}

/**
 * Holds the state, applies events, and does what events can't: fetch through api/, keep through
 * storage/, tell the other pages. Components get one Runtime: they read `state` and call its verbs.
 */
import { ApiError, listModels, streamChat } from '../api/client';
import { kLocales, type Dictionary } from '../i18n';
import { changesBetween, loadAll, loadChat, openDatabase, save, touched } from '../storage/database';
import { keepUnsaved, saveDrafts, savePrefs, takeUnsaved } from '../storage/local';
import type { ChatRequest } from '../wire/openai';
import { initialState, reduce } from './reduce';
import { activeChat, activePath, activeSettings, currentModel, modelList } from './select';
import { requestFor } from './settings';
import { pathTo } from './tree';
import type { Event, Failure, Message, Prefs, State } from './types';

// Received text is shown and kept in steps of these lengths: smooth to read, cheap to draw and store.
const kFrameMs = 40;
const kSaveMs = 300;
const kUndoMs = 10_000;
const kRetryMs = [1_000, 2_000, 4_000, 8_000];

type Final = Omit<Extract<Event, { type: 'finished' }>, 'type' | 'chat' | 'answer' | 'now'>;

/** The page's one store. Made by main.ts. */
export class Runtime {
  private current = $state.raw<State>() as State;
  private failedStorage = $state(false);
  private kept: State;
  private db: IDBDatabase | null = null;
  private readonly channel = new BroadcastChannel('maru');
  private readonly aborts = new Map<string, AbortController>();
  private saving: Promise<void> = Promise.resolve();
  private saveTimer: number | undefined;
  private undoTimer: number | undefined;
  private retryTimer: number | undefined;
  private retries = 0;

  constructor(prefs: Prefs, drafts: Record<string, string>) {
    this.current = initialState(prefs, drafts);
    this.kept = this.current;
  }

  /** What is shown. */
  get state(): State {
    return this.current;
  }

  /** The texts of the reader's language. */
  get t(): Dictionary {
    return kLocales[this.current.prefs.locale].texts;
  }

  /** Whether the browser refused to keep conversations. */
  get storageFailed(): boolean {
    return this.failedStorage;
  }

  /** Loads what was kept, then the models. `active` is the conversation that the address names. */
  async boot(active: string | null): Promise<void> {
    let loaded: Awaited<ReturnType<typeof loadAll>> = { chats: [], messages: [] };
    try {
      this.db = await openDatabase();
      const unsaved = takeUnsaved();
      if (unsaved) await save(this.db, unsaved);
      loaded = await loadAll(this.db);
    } catch {
      this.failedStorage = true;
    }
    this.current = reduce(this.current, { type: 'booted', ...loaded, active });
    this.kept = this.current;
    this.channel.onmessage = (message: MessageEvent<readonly string[]>) => void this.sync(message.data);
    addEventListener('pagehide', () => this.leave());
    addEventListener('pageshow', (event) => event.persisted && takeUnsaved());
    addEventListener('online', () => void this.loadModels());
    await this.loadModels();
  }

  /** Applies one event; all changes of state go through here. */
  dispatch(event: Event): void {
    const before = this.current;
    this.current = reduce(before, event);
    if (this.current.prefs !== before.prefs) savePrefs(this.current.prefs);
    if (this.current.drafts !== before.drafts) saveDrafts(this.current.drafts);
    if (this.current.chats !== before.chats || this.current.messages !== before.messages) {
      if (event.type === 'received') this.saveTimer ??= window.setTimeout(() => void this.flush(), kSaveMs);
      else void this.flush();
    }
  }

  /** Reads the list of models; where the server is away, tries again until it is back. */
  async loadModels(): Promise<void> {
    clearTimeout(this.retryTimer);
    try {
      const list = await listModels(AbortSignal.timeout(10_000));
      this.retries = 0;
      this.dispatch({ type: 'models', models: { status: 'ready', list } });
    } catch (cause) {
      if (cause instanceof ApiError && cause.kind !== 'unreachable') {
        this.dispatch({ type: 'models', models: { status: 'failed', message: cause.message } });
      } else {
        this.dispatch({ type: 'models', models: { status: 'unreachable', list: modelList(this.current) } });
      }
      const wait = kRetryMs[Math.min(this.retries++, kRetryMs.length - 1)];
      this.retryTimer = window.setTimeout(() => void this.loadModels(), wait);
    }
  }

  /** Sends a question below `parent` of the open conversation, or begins a new one. */
  ask(text: string, parent: string | null): void {
    const model = currentModel(this.current);
    if (!model || text.trim() === '') return;
    const chat = this.current.active ?? newId();
    const answer = newId();
    const ids = { chat, parent, question: newId(), answer };
    this.dispatch({ type: 'asked', ...ids, text: text.trim(), model: model.id, now: Date.now() });
    void this.receive(chat, answer, this.requestOf(chat, answer, model.id));
  }

  /** Asks at the end of the branch in view. */
  askNext(text: string): void {
    this.ask(text, activeChat(this.current)?.leaf ?? null);
  }

  /** Answers the question of `answer` once more, beside the answer that is there. */
  regenerate(old: Message): void {
    const model = currentModel(this.current);
    if (!model || old.parent === null) return;
    const answer = newId();
    const where = { chat: old.chat, parent: old.parent, answer };
    this.dispatch({ type: 'regenerated', ...where, model: model.id, now: Date.now() });
    void this.receive(old.chat, answer, this.requestOf(old.chat, answer, model.id));
  }

  /** Goes on with an answer that ended early. */
  continueAnswer(answer: Message): void {
    const model = currentModel(this.current);
    if (!model) return;
    const request = this.requestOf(answer.chat, answer.id, model.id, [
      { role: 'assistant', content: answer.text },
    ]);
    this.dispatch({ type: 'continued', chat: answer.chat, answer: answer.id, model: model.id });
    void this.receive(answer.chat, answer.id, { ...request, continue_final_message: true });
  }

  /** Stops an answer; the server frees its work. */
  stop(answer: string): void {
    this.aborts.get(answer)?.abort();
  }

  /** Deletes a conversation, with some seconds to bring it back. */
  deleteChat(chat: string): void {
    for (const id of Object.keys(this.current.messages[chat] ?? {})) this.stop(id);
    this.dispatch({ type: 'deleted', chat });
    clearTimeout(this.undoTimer);
    this.undoTimer = window.setTimeout(() => this.dispatch({ type: 'undo_expired' }), kUndoMs);
  }

  private requestOf(chat: string, answer: string, model: string, more: ChatRequest['messages'] = []): ChatRequest {
    const messages = this.current.messages[chat] ?? {};
    const settings = this.current.chats[chat]?.settings ?? activeSettings(this.current);
    const request = requestFor(model, settings, pathTo(messages, messages[answer]?.parent ?? null));
    return { ...request, messages: [...request.messages, ...more] };
  }

  // Receives one answer. Text that arrives within a frame becomes one event.
  private async receive(chat: string, answer: string, request: ChatRequest): Promise<void> {
    const abort = new AbortController();
    this.aborts.set(answer, abort);
    let pending = '';
    let timer: number | undefined;
    const show = () => {
      clearTimeout(timer);
      timer = undefined;
      if (pending !== '') this.dispatch({ type: 'received', chat, answer, text: pending });
      pending = '';
    };
    let final: Final = { status: 'stopped', failure: null, usage: null, timings: null };
    try {
      for await (const event of streamChat(request, abort.signal)) {
        if (event.type === 'text') {
          pending += event.text;
          timer ??= window.setTimeout(show, kFrameMs);
        } else if (event.type === 'progress') {
          this.dispatch({ type: 'progressed', answer, read: event.read });
        } else {
          const status = event.finish === 'length' ? 'length' : 'done';
          final = { status, failure: null, usage: event.usage, timings: event.timings };
        }
      }
    } catch (cause) {
      if (!abort.signal.aborted) final = { ...final, status: 'failed', failure: failureOf(cause) };
    }
    this.aborts.delete(answer);
    show();
    this.dispatch({ type: 'finished', chat, answer, ...final, now: Date.now() });
    if (final.failure?.kind === 'unreachable' || final.failure?.kind === 'cut') void this.loadModels();
  }

  // One write at a time; `kept` moves only when what it stands for is durable.
  private flush(): Promise<void> {
    clearTimeout(this.saveTimer);
    this.saveTimer = undefined;
    this.saving = this.saving.then(() => this.write());
    return this.saving;
  }

  private async write(): Promise<void> {
    const now = this.current;
    const changes = changesBetween(this.kept, now);
    if (!this.db || touched(changes).length === 0) return;
    try {
      await save(this.db, changes);
      this.kept = now;
      this.channel.postMessage(touched(changes));
    } catch {
      this.failedStorage = true;
    }
  }

  // A page that goes away may not finish a write to the database: localStorage takes it at once.
  private leave(): void {
    const changes = changesBetween(this.kept, this.current);
    if (touched(changes).length > 0) keepUnsaved(changes);
  }

  private async sync(ids: readonly string[]): Promise<void> {
    if (!this.db) return;
    await this.flush();
    for (const id of ids) {
      const stored = await loadChat(this.db, id);
      const before = this.current;
      this.current = reduce(before, { type: 'synced', id, ...stored });
      if (this.current !== before) this.kept = withChatOf(this.current, this.kept, id);
    }
  }

  /** Whether an answer can be asked for now. */
  get canAsk(): boolean {
    const last = activePath(this.current).at(-1);
    return currentModel(this.current) !== null && !(last && last.id in this.current.streams);
  }
}

// What came from storage need not go there again.
function withChatOf(now: State, kept: State, id: string): State {
  const { [id]: _chat, ...chats } = kept.chats;
  const { [id]: _messages, ...messages } = kept.messages;
  const chat = now.chats[id];
  if (!chat) return { ...kept, chats, messages };
  return {
    ...kept,
    chats: { ...chats, [id]: chat },
    messages: { ...messages, [id]: now.messages[id] ?? {} },
  };
}

function failureOf(cause: unknown): Failure {
  return cause instanceof ApiError
    ? { kind: cause.kind, message: cause.message, status: cause.status }
    : { kind: 'failed', message: String(cause), status: null };
}

// crypto.randomUUID exists on https and localhost only; Maru may be opened from another machine.
function newId(): string {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((b) => b.toString(16).padStart(2, '0')).join('');
}

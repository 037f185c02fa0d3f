/** Starts the page: loads preferences, mounts the app, keeps the address and the open chat in step. */
import { flushSync, mount } from 'svelte';
import './styles/base.css';
import './styles/prose.css';
import { Runtime } from './state/runtime.svelte';
import { loadDrafts, loadPrefs } from './storage/local';
import App from './ui/App.svelte';

const kChatAddress = /^#\/chat\/([0-9a-f]+)$/;

function addressed(): string | null {
  return kChatAddress.exec(location.hash)?.[1] ?? null;
}

const runtime = new Runtime(loadPrefs(navigator.languages), loadDrafts());
mount(App, { target: document.querySelector('#app')!, props: { runtime } });
addEventListener('popstate', () => {
  const chat = addressed();
  runtime.dispatch({ type: 'opened', chat: chat !== null && chat in runtime.state.chats ? chat : null });
});
await runtime.boot(addressed());
flushSync();

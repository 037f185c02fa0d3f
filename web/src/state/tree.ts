/** Pure helpers over a conversation tree, in which each message stores its parent only. */
import type { Message, Messages } from './types';

/** The messages from the first to `leaf`, in order. A broken or circular chain ends the walk. */
export function pathTo(messages: Messages, leaf: string | null): readonly Message[] {
  const path: Message[] = [];
  const seen = new Set<string>();
  for (let id = leaf; id !== null && !seen.has(id); ) {
    const message: Message | undefined = messages[id];
    if (!message) break;
    seen.add(id);
    path.push(message);
    id = message.parent;
  }
  return path.reverse();
}

/** All messages with the same parent, oldest first: the versions of one turn. */
export function siblings(messages: Messages, of: Message): readonly Message[] {
  return childrenOf(messages, of.parent).filter((m) => m.role === of.role);
}

/** The messages whose parent is `parent`, oldest first. */
export function childrenOf(messages: Messages, parent: string | null): readonly Message[] {
  return Object.values(messages).filter((m) => m.parent === parent).sort(byAge);
}

/** The tip below `from`, following the newest child each time. */
export function newestLeaf(messages: Messages, from: string): string {
  const newest = new Map<string, Message>();
  for (const m of Object.values(messages)) {
    if (m.parent === null) continue;
    const other = newest.get(m.parent);
    if (!other || byAge(other, m) < 0) newest.set(m.parent, m);
  }
  const seen = new Set<string>();
  let tip = from;
  for (let next = newest.get(tip); next && !seen.has(next.id); next = newest.get(tip)) {
    seen.add(next.id);
    tip = next.id;
  }
  return tip;
}

// Two messages of one turn may carry the same millisecond; the id decides then.
function byAge(a: Message, b: Message): number {
  return a.created - b.created || (a.id < b.id ? -1 : 1);
}

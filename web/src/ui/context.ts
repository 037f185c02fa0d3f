/** How components reach the one Runtime. */
import { createContext } from 'svelte';
import type { Runtime } from '../state/runtime.svelte';

/** `getRuntime()` inside any component; App.svelte calls `setRuntime()`. */
export const [getRuntime, setRuntime] = createContext<Runtime>();

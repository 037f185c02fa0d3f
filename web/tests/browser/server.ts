/** The real server of the browser tests: the one at MARU_URL, else MARU_BIN started on a free port. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const kBinary = process.env['MARU_BIN'] ?? fileURLToPath(new URL('../../../build/release/maru', import.meta.url));
const kModelFile = join(process.env['MARU_HOME'] ?? join(homedir(), '.maru'), 'models');

/** The small model that the tests talk with. */
export const kModel = process.env['MARU_MODEL'] ?? 'smollm2:135m';

/** Why there is no real server to test with; null where there is one. */
export function missingServer(): string | null {
  if (process.env['MARU_URL']) return null;
  if (!existsSync(kBinary)) return `no ${kBinary}`;
  const file = join(kModelFile, `${kModel.replaceAll(':', '-')}.gguf`);
  return existsSync(file) ? null : `no ${file}; maru pull ${kModel} fetches it`;
}

/** A running server. */
export interface RealServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts the server, or takes the one that runs; resolves once it listens. */
export async function startServer(): Promise<RealServer> {
  const url = process.env['MARU_URL'];
  if (url) return { url, stop: async () => undefined };
  const child = spawn(kBinary, ['serve', '--port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said: string[] = [];
  const found = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line);
        const address = /maru: listening on (http:\/\/\S+)/.exec(line)?.[1];
        if (address) resolve(address);
      });
    }
    child.on('exit', (code) => reject(new Error(`maru serve ended with ${code}:\n${said.join('\n')}`)));
  });
  return { url: found.replace(/\/$/, ''), stop: () => ended(child) };
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return Promise.resolve();
  const gone = new Promise<void>((resolve) => child.on('exit', () => resolve()));
  child.kill('SIGTERM');
  return gone;
}

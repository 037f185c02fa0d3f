import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ApiError, listModels, streamChat, type StreamEvent } from './client';

afterEach(() => vi.unstubAllGlobals());

const kRequest = { model: 'm', messages: [{ role: 'user', content: 'hi' }] } as const;

function answerWith(response: Response | Error): ReturnType<typeof vi.fn> {
  const fetch = vi.fn(async () => {
    if (response instanceof Error) throw response;
    return response;
  });
  vi.stubGlobal('fetch', fetch);
  return fetch;
}

function recorded(name: string): Response {
  return new Response(readFileSync(`tests/streams/${name}.sse`));
}

async function collect(): Promise<{ events: StreamEvent[]; error: unknown }> {
  const events: StreamEvent[] = [];
  try {
    for await (const event of streamChat(kRequest, new AbortController().signal)) events.push(event);
  } catch (error) {
    return { events, error };
  }
  return { events, error: null };
}

describe('streamChat', () => {
  it.each(['korean', 'crlf'])('replays %s', async (name) => {
    const fetch = answerWith(recorded(name));
    expect(await collect()).toEqual({
      error: null,
      events: [
        { type: 'text', text: '안녕' },
        { type: 'text', text: '하세요 👋' },
        { type: 'text', text: '\n\n**마루**' },
        {
          type: 'done', finish: 'stop', usage: { prompt: 33, completion: 5 },
          timings: { promptMs: 101.5, predictedMs: 88.25, perSecond: 56.66 },
        },
      ],
    });
    const body = JSON.parse((fetch.mock.calls[0]![1] as { body: string }).body) as unknown;
    expect(body).toEqual({ ...kRequest, stream: true, stream_options: { include_usage: true }, return_progress: true });
  });

  it('replays what the server really sent', async () => {
    answerWith(recorded('server'));
    const { events, error } = await collect();
    expect(error).toBeNull();
    expect(events.map((e) => (e.type === 'text' ? e.text : ''))).toEqual(['안녕하세요! ', '만나서 ', '반갑습니다.', '']);
    expect(events.at(-1)).toMatchObject({ finish: 'stop', usage: { prompt: 24, completion: 3 }, timings: { promptMs: 0 } });
  });

  it('tells an answer that reached its limit', async () => {
    answerWith(recorded('length'));
    expect((await collect()).events.at(-1)).toMatchObject({ type: 'done', finish: 'length' });
  });

  it('ends with the error that the server put into the stream', async () => {
    answerWith(recorded('error'));
    const { events, error } = await collect();
    expect(events).toEqual([{ type: 'text', text: 'Half' }]);
    expect(error).toEqual(new ApiError('failed', 'the engine ended'));
  });

  it('notices a stream without an end', async () => {
    answerWith(recorded('cut'));
    const { events, error } = await collect();
    expect(events).toHaveLength(2);
    expect(error).toMatchObject({ kind: 'cut' });
  });

  it('shows what the server said with 400', async () => {
    answerWith(new Response('{"error":{"message":"prompt has 9000 tokens, the context 8192"}}', { status: 400 }));
    expect((await collect()).error).toMatchObject({
      kind: 'refused', status: 400, message: 'prompt has 9000 tokens, the context 8192',
    });
  });

  it('names the status where the body says nothing', async () => {
    answerWith(new Response('<html>', { status: 502 }));
    expect((await collect()).error).toMatchObject({ kind: 'refused', message: 'HTTP 502' });
  });

  it('tells an absent server', async () => {
    answerWith(new TypeError('fetch failed'));
    expect((await collect()).error).toMatchObject({ kind: 'unreachable' });
  });
});

describe('listModels', () => {
  it('reads the list and leaves out rows without a name', async () => {
    const meta = { n_params: 5, size: 6, kind: 'base', license: 'MIT' };
    const unknown = { id: 'b', context_length: null, meta: { n_params: null, license: '' } };
    answerWith(Response.json({ data: [{ id: 'a', context_length: 7, meta }, unknown, { id: 3 }, null] }));
    expect(await listModels(new AbortController().signal)).toEqual([
      { id: 'a', kind: 'base', params: 5, bytes: 6, context: 7, license: 'MIT' },
      { id: 'b', kind: 'chat', params: null, bytes: null, context: null, license: null },
    ]);
  });

  it.each(['[]', '{"data":3}', 'no json'])('refuses %s', async (body) => {
    answerWith(new Response(body));
    await expect(listModels(new AbortController().signal)).rejects.toMatchObject({ kind: 'failed' });
  });
});

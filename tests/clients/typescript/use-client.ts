// Uses the client that is generated in TypeScript, against the server whose address is the argument.
// What the README shows is taken from here. `client/` is the generated folder.

import assert from 'node:assert/strict';
import { createClient } from './client/client/index.js';
import { type BenchmarkResponse, OllamaBenchmarker, type RunFinished } from './client/index.js';

const model = 'steady@reference';

async function run(client: OllamaBenchmarker, models: string[]): Promise<BenchmarkResponse> {
  const { data, error } = await client.benchmarks.run({
    body: { prompt: 'Why is the sky blue?', models, repetitions: 2 },
  });
  if (!data) {
    throw new Error(error.detail);
  }
  for (const { model, time_to_first_chunk } of data.summary) {
    console.log(model, time_to_first_chunk.median, 's to the first chunk');
  }
  return data;
}

async function follow(client: OllamaBenchmarker, models: string[]): Promise<RunFinished> {
  const { data } = await client.benchmarks.start({
    body: { prompt: 'Why is the sky blue?', models },
    throwOnError: true,
  });
  const { stream } = await client.benchmarks.follow({ path: { id: data.id } });
  for await (const event of stream) {
    if (event.type === 'text_arrived') {
      process.stdout.write(event.text);
    } else if (event.type === 'run_finished') {
      return event;
    }
  }
  throw new Error('the stream ended before the run');
}

async function* history(client: OllamaBenchmarker): AsyncGenerator<BenchmarkResponse[]> {
  let cursor: string | undefined;
  do {
    const { data, response } = await client.benchmarks.list({
      query: { limit: 2, cursor },
      throwOnError: true,
    });
    yield data;
    cursor = /[?&]cursor=([^&>]+)/.exec(response.headers.get('Link') ?? '')?.[1];
  } while (cursor);
}

async function refused(client: OllamaBenchmarker): Promise<void> {
  const missing = await client.benchmarks.get({ path: { id: '0'.repeat(24) } });
  assert.equal(missing.response?.status, 404);
  assert.equal(missing.error?.type, 'urn:ollama-benchmarker:problem:not-found');

  const { error } = await client.benchmarks.run({ body: { prompt: '', models: [] } });
  assert.equal(error?.status, 422);
  for (const { pointer, message } of error.errors) {
    console.log(pointer, message);
  }
  assert(error.errors.some(({ pointer }) => pointer === '/models'));
}

async function exchange(client: OllamaBenchmarker, run: BenchmarkResponse): Promise<void> {
  const { data: exported } = await client.benchmarks.export({
    query: { format: 'json', ids: [run.id] },
    throwOnError: true,
  });
  assert.deepEqual(exported, [run]);
  const { data: report } = await client.benchmarks.import({
    body: new Blob([JSON.stringify(exported)]),
    throwOnError: true,
  });
  assert.deepEqual([report.documents, report.known, report.failed], [1, 1, 0]);
}

const client = new OllamaBenchmarker({ client: createClient({ baseUrl: process.argv[2] }) });
const first = await run(client, [model]);
assert.equal(first.status, 'completed');
const [result] = first.results;
assert(result?.chunks && result.throughput.total_chunks > 1);
const second = await run(client, [model]);

const finished = await follow(client, [model]);
console.log();
assert.equal(finished.status, 'completed');

const pages: BenchmarkResponse[][] = [];
for await (const page of history(client)) {
  pages.push(page);
}
assert(pages.length > 1 && pages.every(({ length }) => length === 1 || length === 2));
const seen = pages.flat().map(({ id }) => id);
assert.equal(new Set(seen).size, seen.length);
assert([first, second, finished].every(({ id }) => seen.includes(id)));

const { data: compared } = await client.benchmarks.compare({
  query: { ids: `${first.id},${second.id}` },
  throwOnError: true,
});
assert.deepEqual(compared.runs, [first.id, second.id]);
console.log(compared.rows[0]?.sentence);

const { data: answer } = await client.nova.ask({ body: { prompt: 'Why?', model }, throwOnError: true });
assert(answer.status === 'completed' && answer.steps.length > 0);

await exchange(client, first);
await refused(client);

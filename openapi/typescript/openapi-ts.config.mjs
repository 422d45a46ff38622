// Settings of @hey-api/openapi-ts. `openapi/generate.sh` says what it reads and where it writes.

/** `runBenchmark` of the part `Benchmarks` is `client.benchmarks.run`. */
function place({ operationId, tags: [part] }) {
  const noun = new RegExp(`${part.replace(/s$/, '')}s?$`);
  return [['OllamaBenchmarker', part, operationId.replace(noun, '')]];
}

export default {
  input: process.env.SPECIFICATION,
  output: { path: process.env.FOLDER, module: { extension: '.js' } },
  plugins: [
    '@hey-api/client-fetch',
    '@hey-api/typescript',
    { name: '@hey-api/sdk', operations: { strategy: place, methods: 'instance' } },
  ],
};

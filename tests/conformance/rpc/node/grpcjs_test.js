// grpc-js against the gRPC server, item by item: node --test grpcjs_test.js, with CAIRN_ECHO_SERVER (the program) and
// CAIRN_SOURCE (the source root) in the environment.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { test } = require('node:test');
// Installed into the build directory, where run_client.sh runs this file.
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const source = process.env.CAIRN_SOURCE;
const load = (file) =>
  grpc.loadPackageDefinition(loader.loadSync(path.join(source, file), { longs: Number, defaults: true, enums: String }));
const { Echo } = load('tests/conformance/rpc/echo.proto').cairn.test;
const { Health } = load('proto/grpc/health.proto').grpc.health.v1;
const reflection = {
  v1: load('proto/grpc/reflection_v1.proto').grpc.reflection.v1.ServerReflection,
  v1alpha: load('proto/grpc/reflection_v1alpha.proto').grpc.reflection.v1alpha.ServerReflection,
};

class Server {
  static async start() {
    const server = new Server();
    server.process = spawn(process.env.CAIRN_ECHO_SERVER, { stdio: ['ignore', 'pipe', 'inherit'] });
    server.exited = once(server.process, 'exit');
    const [line] = await once(createInterface({ input: server.process.stdout }), 'line');
    server.address = `127.0.0.1:${line.split(' ')[1]}`;
    return server;
  }
  async stop() {
    this.process.kill('SIGTERM');
    const [code] = await this.exited;
    return code;
  }
}

// Runs `body` with a client and its own echo server, and stops both.
function echoTest(name, body, options = {}) {
  test(name, { timeout: 60000 }, async () => {
    const server = await Server.start();
    const client = new Echo(server.address, grpc.credentials.createInsecure(), options);
    try {
      await body(client, server);
    } finally {
      client.close();
      if (server.process.exitCode === null) assert.equal(await server.stop(), 0);
    }
  });
}

const call = (client, method, request, metadata = new grpc.Metadata(), options = {}) =>
  new Promise((resolve, reject) => {
    client[method](request, metadata, options, (error, reply) => (error ? reject(error) : resolve(reply)));
  });

const failure = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail('the call succeeded');
};

const observe = (client) => call(client, 'Observe', {});

async function observeUntil(client, wanted) {
  for (;;) {
    const seen = await observe(client);
    if (wanted(seen)) return seen;
  }
}

async function readAll(stream) {
  const messages = [];
  for await (const message of stream) messages.push(message);
  return messages;
}

echoTest('unary calls of many sizes come back', async (client) => {
  for (const size of [0, 1, 100, 16384, 65536, 2000000]) {
    const payload = Buffer.alloc(size, 'p');
    const reply = await call(client, 'Unary', { payload });
    assert.ok(payload.equals(reply.payload));
  }
});

echoTest('a status carries its code and a UTF-8 message', async (client) => {
  const errorMessage = 'grün 100% 日本\nline';
  const error = await failure(call(client, 'Unary', { errorCode: 9, errorMessage }));
  assert.equal(error.code, grpc.status.FAILED_PRECONDITION);
  assert.equal(error.details, errorMessage);
});

echoTest('an unknown method is unimplemented', async (client) => {
  const same = (bytes) => bytes;
  const error = await failure(new Promise((resolve, reject) => {
    client.makeUnaryRequest('/cairn.test.Echo/Nothing', same, same, Buffer.alloc(0),
      (e, reply) => (e ? reject(e) : resolve(reply)));
  }));
  assert.equal(error.code, grpc.status.UNIMPLEMENTED);
  assert.equal(error.details, 'unknown method Nothing for service cairn.test.Echo');
});

echoTest('metadata travels both ways, also binary', async (client) => {
  const metadata = new grpc.Metadata();
  const raw = Buffer.from([0, 1, 255, 44, 61]);
  metadata.set('token', 't.1');
  metadata.set('raw-bin', raw);
  const unary = client.Unary({ echoMetadata: true }, metadata, () => {});
  const [[headers], [status]] = await Promise.all([once(unary, 'metadata'), once(unary, 'status')]);
  assert.deepEqual(headers.get('echo-h-token'), ['t.1']);
  assert.ok(raw.equals(headers.get('echo-h-raw-bin')[0]));
  assert.ok(raw.equals(status.metadata.get('echo-t-raw-bin')[0]));
});

echoTest('gzip works both ways', async (client) => {
  const payload = Buffer.alloc(300000, 'z');
  const reply = await call(client, 'Unary', { payload });
  assert.ok(payload.equals(reply.payload));
}, { 'grpc.default_compression_algorithm': 2 });

echoTest('a message too large is refused', async (client) => {
  const error = await failure(call(client, 'Unary', { payload: Buffer.alloc(3 << 20) }));
  assert.equal(error.code, grpc.status.RESOURCE_EXHAUSTED);
  assert.match(error.details, /grpc: received message larger than max \(/);
});

echoTest('deadline and cancellation reach the handler', async (client) => {
  const error = await failure(call(client, 'Unary', { delayMs: -1 }, undefined, { deadline: Date.now() + 100 }));
  assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED);
  await observeUntil(client, (seen) => seen.cancelledCalls + seen.expiredCalls === 1);
  // A unary call: on streams, Node ends its side before it resets, and the handler has finished by then.
  let unary;
  const failed = failure(new Promise((resolve, reject) => {
    unary = client.Unary({ delayMs: -1 }, (e, reply) => (e ? reject(e) : resolve(reply)));
  }));
  const before = await observeUntil(client, (seen) => seen.callsUnderWay === 2);
  unary.cancel();
  assert.equal((await failed).code, grpc.status.CANCELLED);
  await observeUntil(client, (seen) => seen.cancelledCalls === before.cancelledCalls + 1 && seen.callsUnderWay === 1);
});

echoTest('streams end with a half close', async (client) => {
  const bidi = client.Bidi();
  for (let i = 0; i < 100; ++i) bidi.write({ payload: Buffer.from(String(i)) });
  bidi.end();
  const replies = await readAll(bidi);
  assert.deepEqual(replies.map((reply) => reply.payload.toString()), Array.from({ length: 100 }, (_, i) => String(i)));
  const collected = await new Promise((resolve, reject) => {
    const stream = client.ClientStream((error, reply) => (error ? reject(error) : resolve(reply)));
    for (let i = 0; i < 1000; ++i) stream.write({ payload: Buffer.from('ab') });
    stream.end();
  });
  assert.equal(collected.payload.length, 2000);
});

echoTest('big answers pass flow control, and a slow reader holds the handler back', async (client) => {
  const reply = await call(client, 'Unary', { answerBytes: 20 << 20 });
  assert.equal(reply.payload.length, 20 << 20);
  const stream = client.ServerStream({ count: 1000, messageBytes: 64 << 10 });
  stream.pause();
  await once(stream, 'metadata');
  const seen = await observe(client);
  assert.ok(seen.mostQueuedBytes < 512 << 10);
  assert.ok(seen.messagesSent < 900, `${seen.messagesSent} messages were sent to a client that does not read`);
  assert.equal((await readAll(stream)).length, 1000);
}, { 'grpc.max_receive_message_length': -1 });

echoTest('a client that pings too often is told to calm down', async (client) => {
  const error = await failure(call(client, 'Unary', { delayMs: -1 }, undefined, { deadline: Date.now() + 20000 }));
  assert.equal(error.code, grpc.status.RESOURCE_EXHAUSTED);  // what grpc-js makes of ENHANCE_YOUR_CALM
}, { 'grpc.keepalive_time_ms': 100, 'grpc.keepalive_permit_without_calls': 1 });

echoTest('health answers Check and Watch', async (_, server) => {
  const health = new Health(server.address, grpc.credentials.createInsecure());
  assert.equal((await call(health, 'Check', {})).status, 'SERVING');
  assert.equal((await failure(call(health, 'Check', { service: 'nobody' }))).code, grpc.status.NOT_FOUND);
  const watch = health.Watch({ service: 'blinking' });
  watch.on('error', () => {});  // the cancellation below
  const [first] = await once(watch, 'data');
  const [second] = await once(watch, 'data');
  assert.notEqual(first.status, second.status);
  watch.cancel();
  const unknown = health.Watch({ service: 'nobody' });
  unknown.on('error', () => {});
  assert.equal((await once(unknown, 'data'))[0].status, 'SERVICE_UNKNOWN');
  unknown.cancel();
  health.close();
});

echoTest('reflection answers in both versions', async (_, server) => {
  for (const Reflection of Object.values(reflection)) {
    const client = new Reflection(server.address, grpc.credentials.createInsecure());
    const info = client.ServerReflectionInfo();
    info.write({ listServices: '' });
    info.write({ fileContainingSymbol: 'cairn.test.Echo' });
    info.end();
    const [listed, file] = await readAll(info);
    assert.ok(listed.listServicesResponse.service.some(({ name }) => name === 'cairn.test.Echo'));
    assert.equal(file.fileDescriptorResponse.fileDescriptorProto.length, 1);
    client.close();
  }
});

echoTest('a stop lets calls finish and then ends streams', async (client, server) => {
  const stream = client.ServerStream({ count: 1, holdOpen: true });
  await once(stream, 'data');
  const ended = once(stream, 'error');
  const slow = call(client, 'Unary', { payload: Buffer.from('slow'), delayMs: 700 });
  await observeUntil(client, (seen) => seen.callsUnderWay === 3);
  const exit = server.stop();
  assert.equal((await slow).payload.toString(), 'slow');
  const [error] = await ended;
  assert.equal(error.code, grpc.status.UNAVAILABLE);
  assert.equal(error.details, 'server is shutting down');
  assert.equal(await exit, 0);
});

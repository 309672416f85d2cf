// What users of npm etcd3 do, done to a cluster: node client.js HOST:PORT,…
// Asks its parent on stdout to "kill N" or "restart N" a member and reads "done". Exit code 0: all held.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const readline = require('node:readline');
const { Etcd3 } = require('etcd3');

const endpoints = process.argv[2].split(',');
const tests = [];
const test = (name, body) => tests.push({ name, body });

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function ask(line) {
  process.stdout.write(`${line}\n`);
  assert.equal((await answers.next()).value, 'done');
}

test('get and put in every form', async (client) => {
  assert.equal(await client.get('k/none'), null);
  assert.equal(await client.get('k/none').exists(), false);
  await client.put('k/a').value('1');
  await client.put('k/json').value(JSON.stringify({ x: 1 }));
  await client.put('k/bytes').value(Buffer.from([0, 255, 1]));
  await client.put('k/number').value(42);
  assert.equal(await client.get('k/a'), '1');
  assert.equal(await client.get('k/a').string(), '1');
  assert.deepEqual(await client.get('k/json').json(), { x: 1 });
  assert.deepEqual(await client.get('k/bytes').buffer(), Buffer.from([0, 255, 1]));
  assert.equal(await client.get('k/number').number(), 42);
  assert.equal((await client.put('k/a').value('2').getPrevious()).value.toString(), '1');
  await client.put('k/a').touch();
  const { kvs, header } = await client.get('k/a').exec();
  assert.deepEqual([kvs[0].value.toString(), kvs[0].version], ['2', '3']);
  assert.ok(header.cluster_id && header.member_id && header.revision && header.raft_term);
  assert.equal(await client.get('k/a').revision(kvs[0].create_revision), '1');
  assert.equal(await client.get('k/a').serializable(false), '2');
});

test('ranges in every form', async (client) => {
  for (const [key, value] of [['a', '3'], ['b', '1'], ['c', '2'], ['b', '8'], ['b', '9'], ['c', '2']]) {
    await client.put(`k/${key}`).value(value);
  }
  const all = () => client.getAll().prefix('k/');
  assert.deepEqual(await all(), { 'k/a': '3', 'k/b': '9', 'k/c': '2' });
  assert.deepEqual(await all().numbers(), { 'k/a': 3, 'k/b': 9, 'k/c': 2 });
  assert.equal((await all().buffers())['k/a'].toString(), '3');
  assert.deepEqual(await all().keys(), ['k/a', 'k/b', 'k/c']);
  assert.equal((await all().keyBuffers()).length, 3);
  assert.equal(await all().count(), 3);
  assert.deepEqual(await all().limit(2).keys(), ['k/a', 'k/b']);
  assert.deepEqual(await client.getAll().inRange({ start: 'k/b', end: 'k/z' }).keys(), ['k/b', 'k/c']);
  assert.ok((await client.getAll().all().keys()).includes('k/a'));
  const orders = { Key: 'abc', Version: 'acb', Create: 'abc', Mod: 'abc', Value: 'cab' };
  for (const [target, order] of Object.entries(orders)) {
    const expected = [...order].map((key) => `k/${key}`);
    assert.deepEqual(await all().sort(target, 'Ascend').keys(), expected, target);
    assert.deepEqual(await all().sort(target, 'Descend').keys(), expected.reverse(), target);
  }
  const { kvs } = await client.get('k/b').exec();
  assert.deepEqual(await all().minModRevision(kvs[0].mod_revision).keys(), ['k/b', 'k/c']);
  assert.deepEqual(await all().maxModRevision(kvs[0].mod_revision - 1).keys(), ['k/a']);
  assert.deepEqual(await all().minCreateRevision(kvs[0].create_revision).keys(), ['k/b', 'k/c']);
  assert.deepEqual(await all().maxCreateRevision(kvs[0].create_revision).keys(), ['k/a', 'k/b']);
});

test('deletes in every form', async (client) => {
  for (const key of 'abcde') await client.put(`k/${key}`).value(key);
  assert.equal((await client.delete().key('k/a').exec()).deleted, '1');
  assert.equal((await client.delete().key('k/a').getPrevious()).length, 0);
  assert.equal((await client.delete().key('k/b').getPrevious())[0].value.toString(), 'b');
  assert.equal((await client.delete().inRange({ start: 'k/c', end: 'k/e' }).exec()).deleted, '2');
  assert.equal((await client.delete().prefix('k/').exec()).deleted, '1');
});

test('transactions', async (client) => {
  await client.put('k/a').value('1');
  const { mod_revision: revision } = (await client.get('k/a').exec()).kvs[0];
  const success = await client.if('k/a', 'Value', '==', '1').and('k/a', 'Version', '>', 0)
    .and('k/a', 'Create', '==', revision).and('k/a', 'Mod', '<', Number(revision) + 1).and('k/none', 'Version', '==', 0)
    .and('k/a', 'Lease', '==', 0).and('k/a', 'Value', '!=', '2')
    .then(client.put('k/b').value('2'), client.get('k/a')).else(client.delete().key('k/a')).commit();
  assert.equal(success.succeeded, true);
  assert.equal(success.responses[1].response_range.kvs[0].value.toString(), '1');
  const failure = await client.if('k/a', 'Value', '>', '1').then().else(client.delete().prefix('k/')).commit();
  assert.deepEqual([failure.succeeded, failure.responses[0].response_delete_range.deleted], [false, '2']);
});

test('software transactions retry on conflict', async (client) => {
  await client.put('k/count').value(0);
  const increment = () => client.stm({ retries: 100 }).transact(async (tx) => {
    await tx.put('k/count').value((await tx.get('k/count').number()) + 1);
  });
  await Promise.all(Array.from({ length: 8 }, increment));
  assert.equal(await client.get('k/count').number(), 8);
});

test('watches', async (client) => {
  const watcher = await client.watch().prefix('k/').withPreviousKV().create();
  const seen = [];
  const done = new Promise((resolve) => {
    watcher.on('put', (kv, previous) => seen.push(['put', kv.value.toString(), previous?.value.toString()]));
    watcher.on('delete', (kv, previous) => { seen.push(['delete', kv.key.toString(), previous.value.toString()]); resolve(); });
  });
  await client.put('k/a').value('1');
  await client.put('k/a').value('2');
  await client.delete().key('k/a');
  await done;
  assert.deepEqual(seen, [['put', '1', undefined], ['put', '2', '1'], ['delete', 'k/a', '2']]);
  await watcher.cancel();
});

test('watches of the past, filtered', async (client) => {
  const { header } = await client.put('k/a').value('1');
  await client.delete().key('k/a');
  await client.put('k/a').value('2');
  const seen = [];
  const watcher = client.watch().key('k/a').only('put').startRevision(header.revision).watcher();
  const done = new Promise((resolve) => watcher.on('put', (kv) => seen.push(kv.value.toString()) === 2 && resolve()));
  watcher.on('delete', () => assert.fail('deletes were not asked for'));
  await done;
  assert.deepEqual(seen, ['1', '2']);
  await watcher.cancel();
});

test('leases', async (client) => {
  const lease = client.lease(100, { autoKeepAlive: false });
  await lease.put('k/leased').value('x');
  assert.equal((await lease.keepaliveOnce()).TTL, '100');
  const { TTL, keys } = await client.leaseClient.leaseTimeToLive({ ID: await lease.grant(), keys: true });
  assert.ok(TTL > 90 && keys[0].toString() === 'k/leased');
  await lease.revoke();
  assert.equal(await client.get('k/leased'), null);
});

test('locks', async (client) => {
  await client.lock('k/lock').do(async () => {
    await assert.rejects(client.lock('k/lock').acquire());
  });
});

test('elections', async (client) => {
  const election = client.election('k-election', 10);
  const campaign = election.campaign('first');
  await campaign.wait();
  assert.equal(await election.leader(), 'first');
  const observer = await election.observe();
  const changed = once(observer, 'change');
  await campaign.proclaim('second');
  assert.deepEqual(await changed, ['second']);
  await campaign.resign();
  await observer.cancel();
});

test('namespaces', async (client) => {
  const namespace = client.namespace('k/');
  await namespace.put('inner').value('x');
  assert.equal(await client.get('k/inner'), 'x');
  assert.deepEqual(await namespace.getAll(), { inner: 'x' });
});

test('maintenance', async (client) => {
  const status = await client.maintenance.status();
  assert.match(status.version, /^3\./);
  const { members } = await client.cluster.memberList({});
  assert.deepEqual(members.map((member) => member.name).sort(), ['m0', 'm1', 'm2']);
  assert.deepEqual((await client.maintenance.alarm({ action: 'Get' })).alarms, []);
  const { header } = await client.put('k/a').value('1');
  await client.kv.compact({ revision: header.revision });
  await assert.rejects(client.get('k/a').revision(Number(header.revision) - 1), /required revision has been compacted/);
});

test('a watch resumes and a lease lives across kill -9 of every member', async (client) => {
  const lease = client.lease(10);
  lease.on('lost', (error) => assert.fail(`the lease was lost: ${error}`));
  await lease.put('alive').value('yes');
  const watcher = await client.watch().key('event').create();
  const seen = [];
  let arrived = () => {};
  watcher.on('put', (kv) => { seen.push(kv.value.toString()); arrived(); });
  const put = async (value) => {  // again until a leader takes it; twice would show as a doubled event
    while (true) {
      try {
        return await client.if('event', 'Value', '==', value).then().else(client.put('event').value(value)).commit();
      } catch (error) {
        if (!/Unavailable|CANCELLED|GRPC/.test(`${error.name} ${error.constructor.name} ${error.message}`)) throw error;
      }
    }
  };
  for (let member = 0; member < endpoints.length; ++member) {  // one of them is the one each talks to
    await ask(`kill ${member}`);
    const renewed = once(lease, 'keepaliveSucceeded');
    await put(String(member));
    while (!seen.includes(String(member))) await new Promise((resolve) => { arrived = resolve; });
    await renewed;
    await ask(`restart ${member}`);
  }
  assert.deepEqual(seen, ['0', '1', '2'], 'each event once, in order');
  assert.equal(await client.get('alive'), 'yes');
  await watcher.cancel();
  await lease.revoke();
});

async function main() {
  const client = new Etcd3({ hosts: endpoints.map((endpoint) => `http://${endpoint}`) });
  for (const { name, body } of tests) {
    await client.delete().prefix('k/');
    await body(client);
    console.log(`ok: ${name}`);
  }
  client.close();
}

function fail(error) {
  fs.writeSync(1, `FAILED: ${error.stack}\n`);  // console.log would be cut off by the exit
  process.exit(1);
}
process.on('uncaughtException', fail);
main().then(() => process.exit(0), fail);

// npm amqplib against a broker: the patterns applications are built of, and how errors come back.
// Decides what an unmodified client of Node must see. AMQP_URL names the broker; run by
// `node --test`, every wait is bounded by the test's timeout.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import amqplib from "amqplib";

const url = process.env.AMQP_URL;
const options = { timeout: 20_000 };
let connection;
let channel;

before(async () => {
  connection = await amqplib.connect(url);
});

after(async () => {
  await connection.close();
});

beforeEach(async () => {
  channel = await connection.createChannel();
});

afterEach(async () => {
  try {
    await channel.close();
  } catch (error) {
    assert.equal(error.name, "IllegalOperationError"); // the broker had closed it
  }
});

/** The first argument of an event; unlike events.once, "error" is an event like any other. */
const event = (emitter, name) => new Promise((resolve) => emitter.once(name, resolve));

/** A temporary queue of this connection. */
async function temporary(on = channel) {
  return (await on.assertQueue("", { exclusive: true })).queue;
}

/** Resolves with `count` messages of a new consumer, acknowledged unless noAck. */
function collect(on, queue, count, consumeOptions = {}) {
  const got = [];
  return new Promise((resolve, reject) => {
    on.consume(
      queue,
      (message) => {
        if (message === null) {
          reject(new Error("cancelled"));
          return;
        }
        got.push(message);
        if (!consumeOptions.noAck) on.ack(message);
        if (got.length === count) resolve(got);
      },
      consumeOptions,
    ).catch(reject);
  });
}

/**
 * Checks a queue's depth. RabbitMQ answers this question ahead of publishes that came before it, so
 * it is asked again.
 */
async function holds(queue, wanted, on = channel) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const { messageCount } = await on.checkQueue(queue);
    if (messageCount === wanted) return;
    assert.ok(Date.now() < deadline, `${messageCount} messages in ${queue}, want ${wanted}`);
  }
}

const bodies = (messages) => messages.map((message) => message.content.toString());

/** The error a channel is closed with, and that it is closed. */
async function closedWith(on, call) {
  const said = event(on, "error");
  const closed = event(on, "close");
  let refused;
  try {
    await call();
  } catch (error) {
    refused = error;
  }
  const error = await said;
  await closed;
  return { error, refused };
}

test("work queue: prefetch shares work, what is not acknowledged comes again", options, async () => {
  const queue = await temporary();
  const workers = [];
  for (let at = 0; at < 2; at++) {
    const worker = await connection.createChannel();
    await worker.prefetch(2);
    const held = [];
    let enough;
    const full = new Promise((resolve) => {
      enough = resolve;
    });
    await worker.consume(queue, (message) => {
      held.push(message);
      if (held.length === 2) enough();
    });
    workers.push({ worker, held, full });
  }
  for (let at = 0; at < 10; at++) {
    channel.sendToQueue(queue, Buffer.from(`job ${at}`), { persistent: true });
  }
  await Promise.all(workers.map((one) => one.full));
  await holds(queue, 6);
  const [first, second] = workers;
  const abandoned = bodies(first.held);
  await first.worker.close(); // its two go back
  second.held.forEach((message) => second.worker.ack(message));
  await second.worker.close();
  const rest = await collect(channel, queue, 8);
  assert.deepEqual(
    bodies(rest.filter((message) => message.fields.redelivered)).slice(0, 2),
    abandoned,
  );
  assert.equal(rest[0].properties.deliveryMode, 2);
  await holds(queue, 0);
});

test("nack and reject: requeued at the head, or gone", options, async () => {
  const queue = await temporary();
  for (const body of ["a", "b"]) channel.sendToQueue(queue, Buffer.from(body));
  const first = await channel.get(queue);
  assert.equal(first.fields.messageCount, 1);
  channel.nack(first);
  const again = await channel.get(queue);
  assert.equal(again.content.toString(), "a");
  assert.equal(again.fields.redelivered, true);
  channel.reject(again, false);
  const last = await channel.get(queue);
  assert.equal(last.content.toString(), "b");
  channel.ackAll();
  assert.equal(await channel.get(queue), false);
});

test("publish and subscribe: every subscriber gets a copy", options, async () => {
  const { exchange } = await channel.assertExchange("node.news", "fanout", { autoDelete: true });
  const waiting = [];
  for (let at = 0; at < 3; at++) {
    const queue = await temporary();
    await channel.bindQueue(queue, exchange, "");
    waiting.push(collect(channel, queue, 2, { noAck: true }));
  }
  channel.publish(exchange, "", Buffer.from("one"));
  channel.publish(exchange, "ignored", Buffer.from("two"));
  for (const got of await Promise.all(waiting)) assert.deepEqual(bodies(got), ["one", "two"]);
});

test("direct routing: by key, several keys to a queue", options, async () => {
  const { exchange } = await channel.assertExchange("node.logs", "direct", { autoDelete: true });
  const [all, bad] = [await temporary(), await temporary()];
  for (const key of ["info", "warning", "error"]) await channel.bindQueue(all, exchange, key);
  await channel.bindQueue(bad, exchange, "error");
  for (const key of ["info", "error", "debug", "warning"]) {
    channel.publish(exchange, key, Buffer.from(key));
  }
  assert.deepEqual(bodies(await collect(channel, all, 3)), ["info", "error", "warning"]);
  const [only] = await collect(channel, bad, 1);
  assert.equal(only.fields.routingKey, "error");
  await holds(bad, 0);
});

test("topics: one word, many words", options, async () => {
  const { exchange } = await channel.assertExchange("node.topic", "topic", { autoDelete: true });
  const queues = {};
  for (const key of ["*.orange.*", "lazy.#", "#", "quick"]) {
    queues[key] = await temporary();
    await channel.bindQueue(queues[key], exchange, key);
  }
  const keys = ["quick.orange.fox", "lazy", "lazy.brown.big.fox", "quick", "orange"];
  for (const key of keys) channel.publish(exchange, key, Buffer.from(key));
  const expected = {
    "*.orange.*": ["quick.orange.fox"],
    "lazy.#": ["lazy", "lazy.brown.big.fox"],
    "#": keys,
    quick: ["quick"],
  };
  for (const [key, wanted] of Object.entries(expected)) {
    assert.deepEqual(bodies(await collect(channel, queues[key], wanted.length)), wanted, key);
    await holds(queues[key], 0);
  }
});

test("headers: all and any", options, async () => {
  const { exchange } = await channel.assertExchange("node.headers", "headers", { autoDelete: true });
  const [all, any] = [await temporary(), await temporary()];
  const wanted = { format: "pdf", pages: 3 };
  await channel.bindQueue(all, exchange, "", { "x-match": "all", ...wanted });
  await channel.bindQueue(any, exchange, "", { "x-match": "any", ...wanted });
  channel.publish(exchange, "", Buffer.from("both"), { headers: wanted });
  channel.publish(exchange, "", Buffer.from("one"), { headers: { format: "pdf", pages: 4 } });
  channel.publish(exchange, "", Buffer.from("none"), { headers: { format: "txt" } });
  assert.deepEqual(bodies(await collect(channel, any, 2)), ["both", "one"]);
  const [only] = await collect(channel, all, 1);
  assert.deepEqual(only.properties.headers, wanted);
});

async function serve(queue) {
  const server = await connection.createChannel();
  await server.consume(queue, (request) => {
    const { replyTo, correlationId } = request.properties;
    const answer = String(Number(request.content.toString()) ** 2);
    server.sendToQueue(replyTo, Buffer.from(answer), { correlationId });
    server.ack(request);
  });
  return server;
}

for (const direct of [false, true]) {
  const title = direct ? "RPC over direct reply-to" : "RPC over a reply queue";
  test(`${title}: answers find their calls`, options, async () => {
    const queue = await temporary();
    const server = await serve(queue);
    const replyTo = direct ? "amq.rabbitmq.reply-to" : await temporary();
    const answers = collect(channel, replyTo, 5, { noAck: true });
    for (const number of [2, 3, 4, 5, 6]) {
      channel.sendToQueue(queue, Buffer.from(String(number)), {
        replyTo,
        correlationId: `call ${number}`,
      });
    }
    const pairs = (await answers).map((got) => [
      got.properties.correlationId,
      got.content.toString(),
    ]);
    assert.deepEqual(pairs.sort(), [
      ["call 2", "4"],
      ["call 3", "9"],
      ["call 4", "16"],
      ["call 5", "25"],
      ["call 6", "36"],
    ]);
    await server.close();
  });
}

test("direct reply-to refuses what it cannot do", options, async () => {
  const { error } = await closedWith(channel, () =>
    channel.consume("amq.rabbitmq.reply-to", () => {}, { noAck: false }),
  );
  assert.match(error.message, /406 .*PRECONDITION_FAILED - reply consumer cannot acknowledge/);
});

test("confirms: every publish is answered, persistent ones and large ones too", options, async () => {
  const confirming = await connection.createConfirmChannel();
  const { queue } = await confirming.assertQueue("node.confirms", { durable: true });
  let answered = 0;
  for (let at = 0; at < 200; at++) {
    confirming.sendToQueue(queue, Buffer.alloc(1024, at), { persistent: true }, (error) => {
      assert.equal(error, null);
      answered += 1;
    });
  }
  confirming.sendToQueue(queue, Buffer.alloc(1_000_000, "x"), { persistent: true });
  await confirming.waitForConfirms();
  assert.equal(answered, 200);
  await holds(queue, 201, confirming);
  const got = await collect(confirming, queue, 201);
  assert.equal(got[200].content.length, 1_000_000);
  assert.deepEqual([...got[7].content.subarray(0, 3)], [7, 7, 7]);
  await confirming.deleteQueue(queue);
  await confirming.close();
});

test("mandatory: what no queue takes comes back, before its confirm", options, async () => {
  const confirming = await connection.createConfirmChannel();
  const order = [];
  confirming.on("return", (message) => order.push(message));
  await new Promise((resolve, reject) => {
    const properties = { mandatory: true, messageId: "m1", headers: { a: 1 } };
    confirming.publish("", "node.nowhere", Buffer.from("lost"), properties, (error) => {
      order.push("confirm");
      if (error) reject(error);
      else resolve();
    });
  });
  assert.equal(order.length, 2);
  assert.equal(order[1], "confirm");
  const [returned] = order;
  assert.equal(returned.fields.replyCode, 312);
  assert.equal(returned.fields.replyText, "NO_ROUTE");
  assert.equal(returned.fields.routingKey, "node.nowhere");
  assert.equal(returned.properties.messageId, "m1");
  assert.equal(returned.content.toString(), "lost");
  await confirming.close();
});

test("a consumer hears that its queue is gone", options, async () => {
  const queue = await temporary();
  const told = new Promise((resolve) => {
    channel.consume(queue, resolve);
  });
  const other = await connection.createChannel();
  await other.checkQueue(queue);
  await other.deleteQueue(queue);
  assert.equal(await told, null);
  await other.close();
});

test("cancel: no delivery after cancel-ok, the queue keeps the rest", options, async () => {
  const queue = await temporary();
  const { consumerTag } = await channel.consume(queue, () => assert.fail("delivered"));
  await channel.cancel(consumerTag);
  channel.sendToQueue(queue, Buffer.from("kept"));
  await holds(queue, 1);
  assert.equal((await channel.purgeQueue(queue)).messageCount, 1);
});

test("a missing queue closes the channel with 404 and leaves the connection", options, async () => {
  const { error, refused } = await closedWith(channel, () => channel.checkQueue("node.missing"));
  const text = "NOT_FOUND - no queue 'node.missing' in vhost '/'";
  assert.equal(error.code, 404);
  assert.ok(error.message.includes(text), error.message);
  assert.ok(refused.message.includes(text), refused.message);
  const next = await connection.createChannel();
  await next.close();
});

test("a publish to no exchange closes the channel with 404", options, async () => {
  const { error } = await closedWith(channel, async () => {
    channel.publish("node.missing", "k", Buffer.from("x"));
  });
  assert.equal(error.code, 404);
  assert.ok(error.message.includes("NOT_FOUND - no exchange 'node.missing' in vhost '/'"));
});

test("a second declare that differs closes the channel with 406", options, async () => {
  await channel.assertQueue("node.mine", { exclusive: true });
  const { error } = await closedWith(channel, () =>
    channel.assertQueue("node.mine", { exclusive: true, autoDelete: true }),
  );
  assert.equal(error.code, 406);
  assert.ok(error.message.includes("inequivalent arg 'auto_delete'"), error.message);
});

test("an exclusive queue is locked for other connections: 405", options, async () => {
  const queue = await temporary();
  const other = await amqplib.connect(url);
  const stranger = await other.createChannel();
  const { error } = await closedWith(stranger, () => stranger.checkQueue(queue));
  assert.equal(error.code, 405);
  await other.close();
});

test("an acknowledgement of nothing closes the channel with 406", options, async () => {
  const { error } = await closedWith(channel, async () => {
    channel.ack({ fields: { deliveryTag: 99 } });
  });
  assert.ok(error.message.includes("PRECONDITION_FAILED - unknown delivery tag 99"), error.message);
});

test("a consumer tag used twice closes the connection with 530", options, async () => {
  const other = await amqplib.connect(url);
  const said = event(other, "error");
  const closed = event(other, "close");
  const own = await other.createChannel();
  own.on("error", () => {});
  const queue = await temporary(own);
  const first = { consumerTag: "same", noAck: true };
  await own.consume(queue, () => {}, first);
  own.consume(queue, () => {}, first).catch(() => {});
  const error = await said;
  await closed;
  assert.equal(error.code, 530);
  assert.ok(error.message.includes("NOT_ALLOWED - attempt to reuse consumer tag 'same'"));
});

test("a wrong password is refused with 403", options, async () => {
  const wrong = new URL(url);
  wrong.password = "wrong";
  await assert.rejects(amqplib.connect(wrong.href), /ACCESS_REFUSED - Login was refused/);
});

test("an unknown virtual host is refused by connection.close", options, async () => {
  const wrong = new URL(url);
  wrong.pathname = "/nowhere";
  await assert.rejects(amqplib.connect(wrong.href), /Expected ConnectionOpenOk; got <ConnectionClose/);
});

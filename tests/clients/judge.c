/* librabbitmq against the broker: confirms, a consumer, exchanges of three
   types, an RPC call, an error. Prints "ok" or what went wrong. */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static amqp_connection_state_t conn;

static void die(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static void check(const char *what) {
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(conn);
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
    amqp_channel_close_t *m = reply.reply.decoded;
    fprintf(stderr, "%.*s\n", (int)m->reply_text.len, (char *)m->reply_text.bytes);
  }
  die(what);
}

static void publish(amqp_channel_t channel, amqp_bytes_t key, const char *body, amqp_basic_properties_t *props) {
  if (amqp_basic_publish(conn, channel, amqp_empty_bytes, key, 0, 0, props, amqp_cstring_bytes(body)) != AMQP_STATUS_OK)
    die("publish");
}

static void take(const char *expected, amqp_envelope_t *envelope) {
  struct timeval timeout = {5, 0};
  amqp_maybe_release_buffers(conn);
  amqp_rpc_reply_t reply = amqp_consume_message(conn, envelope, &timeout, 0);
  if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
    fprintf(stderr, "waiting for %s: %s\n", expected, amqp_error_string2(reply.library_error));
    die("consume_message");
  }
  if (envelope->message.body.len != strlen(expected) || memcmp(envelope->message.body.bytes, expected, strlen(expected)))
    die("body");
}

/* Of three messages a queue bound with binding_key gets the one that wanted names, or all for "". */
static void route(const char *exchange, const char *binding_key, const char *wanted) {
  static const char *keys[] = {"log.error", "log.error.disc", "other"};
  amqp_envelope_t envelope;
  amqp_queue_declare_ok_t *declared = amqp_queue_declare(conn, 4, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
  check("declare of a queue to bind");
  amqp_bytes_t queue = amqp_bytes_malloc_dup(declared->queue);
  amqp_bytes_t name = amqp_cstring_bytes(exchange);
  amqp_queue_bind(conn, 4, queue, name, amqp_cstring_bytes(binding_key), amqp_empty_table);
  check("queue.bind");
  amqp_basic_consume(conn, 4, queue, amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
  check("consume of a bound queue");
  for (int i = 0; i < 3; i++) {
    amqp_bytes_t key = amqp_cstring_bytes(keys[i]);
    if (amqp_basic_publish(conn, 4, name, key, 0, 0, NULL, key) != AMQP_STATUS_OK) die("publish to an exchange");
  }
  if (*wanted) {
    take(wanted, &envelope);
    amqp_destroy_envelope(&envelope);
  } else {
    for (int i = 0; i < 3; i++) {
      take(keys[i], &envelope);
      amqp_destroy_envelope(&envelope);
    }
  }
  amqp_queue_purge(conn, 4, queue);
  check("queue.purge");
  amqp_queue_delete(conn, 4, queue, 0, 0);
  check("queue.delete");
  amqp_bytes_free(queue);
}

int main(int argc, char **argv) {
  if (argc != 3) die("usage: judge host port");
  conn = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(conn);
  if (amqp_socket_open(socket, argv[1], atoi(argv[2]))) die("connect");
  if (amqp_login(conn, "/", 0, 131072, 10, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type != AMQP_RESPONSE_NORMAL)
    die("login");
  amqp_channel_open(conn, 1);
  check("channel.open");
  amqp_queue_declare_ok_t *declared = amqp_queue_declare(conn, 1, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
  check("queue.declare");
  amqp_bytes_t queue = amqp_bytes_malloc_dup(declared->queue);
  amqp_confirm_select(conn, 1);
  check("confirm.select");

  amqp_basic_properties_t props;
  memset(&props, 0, sizeof props);
  props._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG;
  props.content_type = amqp_cstring_bytes("text/plain");
  props.delivery_mode = 2;
  props.correlation_id = amqp_cstring_bytes("42");
  publish(1, queue, "hello", &props);
  amqp_frame_t frame;
  if (amqp_simple_wait_frame(conn, &frame) || frame.payload.method.id != AMQP_BASIC_ACK_METHOD) die("confirm");

  amqp_basic_qos(conn, 1, 0, 10, 0);
  check("basic.qos");
  amqp_basic_consume(conn, 1, queue, amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
  check("basic.consume");
  amqp_envelope_t envelope;
  take("hello", &envelope);
  if (envelope.message.properties.delivery_mode != 2) die("properties");
  amqp_basic_ack(conn, 1, envelope.delivery_tag, 0);
  amqp_destroy_envelope(&envelope);

  /* RPC through direct reply-to, client and server on one connection */
  amqp_channel_open(conn, 2);
  check("second channel.open");
  amqp_basic_consume(conn, 2, amqp_cstring_bytes("amq.rabbitmq.reply-to"), amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
  check("consume of amq.rabbitmq.reply-to");
  props._flags |= AMQP_BASIC_REPLY_TO_FLAG;
  props.reply_to = amqp_cstring_bytes("amq.rabbitmq.reply-to");
  publish(2, queue, "question", &props);
  take("question", &envelope);
  amqp_basic_properties_t answer;
  memset(&answer, 0, sizeof answer);
  answer._flags = AMQP_BASIC_CORRELATION_ID_FLAG;
  answer.correlation_id = envelope.message.properties.correlation_id;
  amqp_basic_ack(conn, 1, envelope.delivery_tag, 0);
  publish(2, envelope.message.properties.reply_to, "answer", &answer);
  amqp_envelope_t reply;
  take("answer", &reply);
  if (reply.channel != 2) die("reply came on another channel");
  amqp_destroy_envelope(&envelope);
  amqp_destroy_envelope(&reply);

  /* publish and subscribe, routing, topics */
  amqp_channel_open(conn, 4);
  check("fourth channel.open");
  route("amq.fanout", "", "");
  route("amq.direct", "other", "other");
  route("amq.topic", "log.*", "log.error");

  /* an error closes the channel, not the connection */
  amqp_channel_open(conn, 3);
  check("third channel.open");
  amqp_queue_declare(conn, 3, amqp_cstring_bytes("no-such-queue"), 1, 0, 0, 0, amqp_empty_table);
  amqp_rpc_reply_t error = amqp_get_rpc_reply(conn);
  if (error.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION) die("error expected");
  if (((amqp_channel_close_t *)error.reply.decoded)->reply_code != 404) die("404 expected");

  amqp_bytes_free(queue);
  amqp_channel_close(conn, 1, AMQP_REPLY_SUCCESS);
  amqp_connection_close(conn, AMQP_REPLY_SUCCESS);
  amqp_destroy_connection(conn);
  puts("ok");
  return 0;
}

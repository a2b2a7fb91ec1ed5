// Package clients: amqp091-go against a broker, the patterns applications are built of and how
// errors come back. Decides what an unmodified client of Go must see. AMQP_URL names the broker;
// every wait is bounded by waitTime.
package clients

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const waitTime = 15 * time.Second

func dial(t *testing.T) *amqp.Connection {
	t.Helper()
	connection, err := amqp.Dial(os.Getenv("AMQP_URL"))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

func open(t *testing.T, connection *amqp.Connection) *amqp.Channel {
	t.Helper()
	channel, err := connection.Channel()
	must(t, err)
	return channel
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// temporary declares a queue of this connection.
func temporary(t *testing.T, channel *amqp.Channel) string {
	t.Helper()
	queue, err := channel.QueueDeclare("", false, false, true, false, nil)
	must(t, err)
	return queue.Name
}

func publish(t *testing.T, channel *amqp.Channel, exchange, key string, message amqp.Publishing) {
	t.Helper()
	must(t, channel.Publish(exchange, key, false, false, message))
}

func text(body string) amqp.Publishing { return amqp.Publishing{Body: []byte(body)} }

func next(t *testing.T, deliveries <-chan amqp.Delivery) amqp.Delivery {
	t.Helper()
	select {
	case delivery, alive := <-deliveries:
		if !alive {
			t.Fatal("the consumer ended")
		}
		return delivery
	case <-time.After(waitTime):
		t.Fatal("nothing was delivered")
	}
	panic("unreachable")
}

// collect gives the bodies of count messages of a new consumer, acknowledged.
func collect(t *testing.T, channel *amqp.Channel, queue string, count int) []string {
	t.Helper()
	deliveries, err := channel.Consume(queue, "collector", false, false, false, false, nil)
	must(t, err)
	var got []string
	for len(got) < count {
		delivery := next(t, deliveries)
		got = append(got, string(delivery.Body))
		must(t, delivery.Ack(false))
	}
	must(t, channel.Cancel("collector", false))
	return got
}

func equal(t *testing.T, got, want interface{}) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// holds checks a queue's depth. RabbitMQ answers this question ahead of publishes that came before
// it, so it is asked again.
func holds(t *testing.T, channel *amqp.Channel, queue string, want int) {
	t.Helper()
	deadline := time.Now().Add(waitTime)
	for {
		seen, err := channel.QueueInspect(queue)
		must(t, err)
		if seen.Messages == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages, want %d", seen.Messages, want)
		}
	}
}

// refused checks code and text of an error that the broker sent.
func refused(t *testing.T, err error, code int, words string) {
	t.Helper()
	var said *amqp.Error
	if !errors.As(err, &said) {
		t.Fatalf("%v is not an error of the broker", err)
	}
	if said.Code != code || !strings.Contains(said.Reason, words) {
		t.Fatalf("got %d %q, want %d %q", said.Code, said.Reason, code, words)
	}
}

// closedBy waits for the error that closes a channel or a connection.
func closedBy(t *testing.T, notified chan *amqp.Error) *amqp.Error {
	t.Helper()
	select {
	case err := <-notified:
		return err
	case <-time.After(waitTime):
		t.Fatal("nothing was closed")
	}
	panic("unreachable")
}

func TestWorkQueueSharesByPrefetchAndRedelivers(t *testing.T) {
	connection := dial(t)
	channel := open(t, connection)
	queue := temporary(t, channel)
	var workers [2]*amqp.Channel
	var deliveries [2]<-chan amqp.Delivery
	for at := range workers {
		workers[at] = open(t, connection)
		must(t, workers[at].Qos(2, 0, false))
		var err error
		deliveries[at], err = workers[at].Consume(queue, "", false, false, false, false, nil)
		must(t, err)
	}
	for at := 0; at < 10; at++ {
		job := amqp.Publishing{Body: []byte(strconv.Itoa(at)), DeliveryMode: amqp.Persistent}
		publish(t, channel, "", queue, job)
	}
	abandoned := []string{
		string(next(t, deliveries[0]).Body),
		string(next(t, deliveries[0]).Body),
	}
	held := []amqp.Delivery{next(t, deliveries[1]), next(t, deliveries[1])}
	holds(t, channel, queue, 6)
	must(t, workers[0].Close())
	must(t, held[1].Ack(true))
	first, second := next(t, deliveries[1]), next(t, deliveries[1])
	equal(t, []string{string(first.Body), string(second.Body)}, abandoned)
	equal(t, []bool{first.Redelivered, second.Redelivered}, []bool{true, true})
	equal(t, first.DeliveryMode, uint8(amqp.Persistent))
	must(t, workers[1].Close())
	equal(t, len(collect(t, channel, queue, 8)), 8)
	holds(t, channel, queue, 0)
}

func TestNackRequeuesAtTheHeadAndRejectDrops(t *testing.T) {
	channel := open(t, dial(t))
	queue := temporary(t, channel)
	publish(t, channel, "", queue, text("a"))
	publish(t, channel, "", queue, text("b"))
	got, _, err := channel.Get(queue, false)
	must(t, err)
	equal(t, got.MessageCount, uint32(1))
	must(t, got.Nack(false, true))
	got, _, err = channel.Get(queue, false)
	must(t, err)
	equal(t, string(got.Body), "a")
	equal(t, got.Redelivered, true)
	must(t, got.Reject(false))
	equal(t, collect(t, channel, queue, 1), []string{"b"})
	_, found, err := channel.Get(queue, true)
	must(t, err)
	equal(t, found, false)
}

func TestPublishSubscribeCopiesToEverySubscriber(t *testing.T) {
	channel := open(t, dial(t))
	must(t, channel.ExchangeDeclare("go.news", "fanout", false, true, false, false, nil))
	var queues []string
	for at := 0; at < 3; at++ {
		queue := temporary(t, channel)
		must(t, channel.QueueBind(queue, "", "go.news", false, nil))
		queues = append(queues, queue)
	}
	publish(t, channel, "go.news", "", text("one"))
	publish(t, channel, "go.news", "ignored", text("two"))
	for _, queue := range queues {
		equal(t, collect(t, channel, queue, 2), []string{"one", "two"})
	}
}

func TestDirectRoutingByKey(t *testing.T) {
	channel := open(t, dial(t))
	must(t, channel.ExchangeDeclare("go.logs", "direct", false, true, false, false, nil))
	all, bad := temporary(t, channel), temporary(t, channel)
	for _, key := range []string{"info", "warning", "error"} {
		must(t, channel.QueueBind(all, key, "go.logs", false, nil))
	}
	must(t, channel.QueueBind(bad, "error", "go.logs", false, nil))
	for _, key := range []string{"info", "error", "debug", "warning"} {
		publish(t, channel, "go.logs", key, text(key))
	}
	equal(t, collect(t, channel, all, 3), []string{"info", "error", "warning"})
	equal(t, collect(t, channel, bad, 1), []string{"error"})
	holds(t, channel, bad, 0)
}

func TestTopicsOneWordAndManyWords(t *testing.T) {
	channel := open(t, dial(t))
	must(t, channel.ExchangeDeclare("go.topic", "topic", false, true, false, false, nil))
	keys := []string{"quick.orange.fox", "lazy", "lazy.brown.big.fox", "quick", "orange"}
	expected := map[string][]string{
		"*.orange.*": {"quick.orange.fox"},
		"lazy.#":     {"lazy", "lazy.brown.big.fox"},
		"#":          keys,
		"quick":      {"quick"},
	}
	queues := map[string]string{}
	for key := range expected {
		queues[key] = temporary(t, channel)
		must(t, channel.QueueBind(queues[key], key, "go.topic", false, nil))
	}
	for _, key := range keys {
		publish(t, channel, "go.topic", key, text(key))
	}
	for key, want := range expected {
		equal(t, collect(t, channel, queues[key], len(want)), want)
		holds(t, channel, queues[key], 0)
	}
}

func TestHeadersAllAndAny(t *testing.T) {
	channel := open(t, dial(t))
	must(t, channel.ExchangeDeclare("go.headers", "headers", false, true, false, false, nil))
	all, any := temporary(t, channel), temporary(t, channel)
	for queue, match := range map[string]string{all: "all", any: "any"} {
		wanted := amqp.Table{"x-match": match, "format": "pdf", "pages": int32(3)}
		must(t, channel.QueueBind(queue, "", "go.headers", false, wanted))
	}
	for body, headers := range map[string]amqp.Table{
		"both": {"format": "pdf", "pages": int32(3)},
		"one":  {"format": "pdf", "pages": int32(4)},
		"none": {"format": "txt"},
	} {
		publish(t, channel, "go.headers", "", amqp.Publishing{Headers: headers, Body: []byte(body)})
	}
	some := collect(t, channel, any, 2)
	sort.Strings(some)
	equal(t, some, []string{"both", "one"})
	equal(t, collect(t, channel, all, 1), []string{"both"})
}

func serve(t *testing.T, channel *amqp.Channel, queue string) {
	t.Helper()
	requests, err := channel.Consume(queue, "", false, false, false, false, nil)
	must(t, err)
	go func() {
		for request := range requests {
			number, _ := strconv.Atoi(string(request.Body))
			answer := amqp.Publishing{
				CorrelationId: request.CorrelationId,
				Body:          []byte(strconv.Itoa(number * number)),
			}
			if channel.Publish("", request.ReplyTo, false, false, answer) == nil {
				request.Ack(false)
			}
		}
	}()
}

func TestRPC(t *testing.T) {
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprintf("direct=%v", direct), func(t *testing.T) {
			connection := dial(t)
			channel := open(t, connection)
			queue, replies := temporary(t, channel), "amq.rabbitmq.reply-to"
			if !direct {
				replies = temporary(t, channel)
			}
			serve(t, open(t, connection), queue)
			answers, err := channel.Consume(replies, "", true, false, false, false, nil)
			must(t, err)
			want := map[string]string{}
			for number := 2; number < 7; number++ {
				call := fmt.Sprintf("call %d", number)
				want[call] = strconv.Itoa(number * number)
				publish(t, channel, "", queue, amqp.Publishing{
					ReplyTo:       replies,
					CorrelationId: call,
					Body:          []byte(strconv.Itoa(number)),
				})
			}
			got := map[string]string{}
			for len(got) < len(want) {
				answer := next(t, answers)
				got[answer.CorrelationId] = string(answer.Body)
			}
			equal(t, got, want)
		})
	}
}

func TestConfirmsAnswerEveryPublish(t *testing.T) {
	channel := open(t, dial(t))
	must(t, channel.Confirm(false))
	confirmed := channel.NotifyPublish(make(chan amqp.Confirmation, 201))
	queue, err := channel.QueueDeclare("go.confirms", true, false, false, false, nil)
	must(t, err)
	for at := 0; at < 201; at++ {
		body := bytes.Repeat([]byte{byte(at)}, 100)
		if at == 200 {
			body = bytes.Repeat([]byte{'x'}, 1000000)
		}
		message := amqp.Publishing{Body: body, DeliveryMode: amqp.Persistent}
		publish(t, channel, "", queue.Name, message)
	}
	for at := uint64(1); at <= 201; at++ {
		select {
		case one := <-confirmed:
			equal(t, one, amqp.Confirmation{DeliveryTag: at, Ack: true})
		case <-time.After(waitTime):
			t.Fatalf("publish %d was not confirmed", at)
		}
	}
	holds(t, channel, queue.Name, 201)
	equal(t, len(collect(t, channel, queue.Name, 201)[200]), 1000000)
	_, err = channel.QueueDelete(queue.Name, false, false, false)
	must(t, err)
}

func TestMandatoryReturnsBeforeTheConfirm(t *testing.T) {
	channel := open(t, dial(t))
	must(t, channel.Confirm(false))
	// One goroutine of the client hands out both, so what is first in is first out.
	returned := channel.NotifyReturn(make(chan amqp.Return))
	confirmed := channel.NotifyPublish(make(chan amqp.Confirmation))
	message := amqp.Publishing{MessageId: "m1", Body: []byte("lost")}
	must(t, channel.Publish("", "go.nowhere", true, false, message))
	select {
	case one := <-returned:
		equal(t, []interface{}{one.ReplyCode, one.ReplyText, one.RoutingKey, one.MessageId},
			[]interface{}{uint16(312), "NO_ROUTE", "go.nowhere", "m1"})
		equal(t, string(one.Body), "lost")
	case <-confirmed:
		t.Fatal("confirmed before it was returned")
	case <-time.After(waitTime):
		t.Fatal("not returned")
	}
	select {
	case one := <-confirmed:
		equal(t, one.Ack, true)
	case <-time.After(waitTime):
		t.Fatal("not confirmed")
	}
}

func TestTransactionCommitsAndRollsBack(t *testing.T) {
	channel := open(t, dial(t))
	queue := temporary(t, channel)
	must(t, channel.Tx())
	publish(t, channel, "", queue, text("gone"))
	must(t, channel.TxRollback())
	publish(t, channel, "", queue, text("kept"))
	holds(t, channel, queue, 0)
	must(t, channel.TxCommit())
	holds(t, channel, queue, 1)
}

func TestExchangeToExchange(t *testing.T) {
	channel := open(t, dial(t))
	must(t, channel.ExchangeDeclare("go.source", "topic", false, true, false, false, nil))
	must(t, channel.ExchangeDeclare("go.target", "fanout", false, false, true, false, nil))
	must(t, channel.ExchangeBind("go.target", "a.#", "go.source", false, nil))
	queue := temporary(t, channel)
	must(t, channel.QueueBind(queue, "", "go.target", false, nil))
	publish(t, channel, "go.source", "b", text("no"))
	publish(t, channel, "go.source", "a.b", text("yes"))
	equal(t, collect(t, channel, queue, 1), []string{"yes"})
	must(t, channel.ExchangeDelete("go.target", false, false))
}

func TestConsumerHearsThatItsQueueIsGone(t *testing.T) {
	connection := dial(t)
	channel := open(t, connection)
	queue := temporary(t, channel)
	cancelled := channel.NotifyCancel(make(chan string, 1))
	deliveries, err := channel.Consume(queue, "mine", false, false, false, false, nil)
	must(t, err)
	_, err = open(t, connection).QueueDelete(queue, false, false, false)
	must(t, err)
	select {
	case tag := <-cancelled:
		equal(t, tag, "mine")
	case <-time.After(waitTime):
		t.Fatal("not told")
	}
	if _, alive := <-deliveries; alive {
		t.Fatal("delivered after the end")
	}
}

func TestMissingQueueClosesTheChannelAlone(t *testing.T) {
	connection := dial(t)
	_, err := open(t, connection).QueueDeclarePassive("go.missing", false, false, false, false, nil)
	refused(t, err, 404, "NOT_FOUND - no queue 'go.missing' in vhost '/'")
	temporary(t, open(t, connection))
}

func TestPublishToNoExchangeClosesTheChannel(t *testing.T) {
	channel := open(t, dial(t))
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	publish(t, channel, "go.missing", "k", text("x"))
	refused(t, closedBy(t, closed), 404, "NOT_FOUND - no exchange 'go.missing' in vhost '/'")
}

func TestSecondDeclareThatDiffersIsRefused(t *testing.T) {
	channel := open(t, dial(t))
	_, err := channel.QueueDeclare("go.mine", false, false, true, false, nil)
	must(t, err)
	_, err = channel.QueueDeclare("go.mine", false, true, true, false, nil)
	refused(t, err, 406, "inequivalent arg 'auto_delete' for queue 'go.mine' in vhost '/'")
}

func TestExclusiveQueueIsLockedForOthers(t *testing.T) {
	queue := temporary(t, open(t, dial(t)))
	_, err := open(t, dial(t)).QueueInspect(queue)
	refused(t, err, 405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue")
}

func TestAcknowledgementOfNothingClosesTheChannel(t *testing.T) {
	channel := open(t, dial(t))
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	must(t, channel.Ack(99, false))
	refused(t, closedBy(t, closed), 406, "PRECONDITION_FAILED - unknown delivery tag 99")
}

func TestImmediateClosesTheConnection(t *testing.T) {
	connection := dial(t)
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	must(t, open(t, connection).Publish("", "k", false, true, text("x")))
	refused(t, closedBy(t, closed), 540, "NOT_IMPLEMENTED - immediate=true")
}

func TestWrongPasswordIsRefused(t *testing.T) {
	_, err := amqp.Dial(strings.Replace(os.Getenv("AMQP_URL"), "guest:guest", "guest:wrong", 1))
	if !errors.Is(err, amqp.ErrCredentials) {
		t.Fatal(err)
	}
}

func TestUnknownVirtualHostIsRefused(t *testing.T) {
	_, err := amqp.Dial(os.Getenv("AMQP_URL") + "/nowhere")
	if !errors.Is(err, amqp.ErrVhost) {
		t.Fatal(err)
	}
}

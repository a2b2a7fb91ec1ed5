# frozen_string_literal: true

# Ruby bunny against a broker: the patterns applications are built of, and how errors come back.
# Decides what an unmodified client of Ruby must see. AMQP_URL names the broker; every wait is
# bounded by WAIT_S.

require "bunny"
require "logger"
require "minitest/autorun"

WAIT_S = 15

class BunnyTest < Minitest::Test
  def setup
    @connection = open_connection
    @channel = @connection.create_channel
  end

  def teardown
    @connection.close if @connection&.open?
  end

  def open_connection(url = ENV.fetch("AMQP_URL"), **options)
    quiet = Logger.new(IO::NULL)
    connection = Bunny.new(
      url,
      logger: quiet,
      automatically_recover: false,
      continuation_timeout: WAIT_S * 1000,
      **options
    )
    connection.start
  end

  # A temporary queue of this connection.
  def temporary(channel = @channel)
    channel.queue("", exclusive: true)
  end

  # Bodies of `count` messages of a new consumer, acknowledged.
  def collect(queue, count, channel = @channel)
    messages(queue, count, channel).map(&:last)
  end

  def messages(queue, count, channel = @channel)
    arrived = Queue.new
    consumer = queue.subscribe(manual_ack: true) do |delivery, properties, body|
      channel.ack(delivery.delivery_tag)
      arrived << [delivery, properties, body]
    end
    got = Array.new(count) { take(arrived) }
    consumer.cancel
    got
  end

  def take(arrived)
    Timeout.timeout(WAIT_S) { arrived.pop }
  end

  # RabbitMQ answers this question ahead of publishes that came before it, so it is asked again.
  def assert_depth(wanted, queue, text = nil)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + WAIT_S
    loop do
      got = queue.status[:message_count]
      past = Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
      return assert_equal(wanted, got, text) if got == wanted || past
    end
  end

  def test_work_queue_shares_by_prefetch_and_redelivers_what_was_not_acknowledged
    queue = temporary
    arrived = Queue.new
    workers = Array.new(2) do |number|
      channel = @connection.create_channel
      channel.prefetch(2)
      channel.queue(queue.name, passive: true).subscribe(manual_ack: true) do |delivery, _, body|
        arrived << [number, delivery.delivery_tag, body]
      end
      channel
    end
    10.times { |at| queue.publish("job #{at}", persistent: true) }
    held = Array.new(4) { take(arrived) }
    assert_equal({ 0 => 2, 1 => 2 }, held.map(&:first).tally)
    assert_depth 6, queue
    abandoned = held.select { |number, *| number.zero? }.map(&:last)
    workers[0].close
    held.each { |number, tag, _| workers[1].ack(tag) if number == 1 }
    again = Array.new(2) { take(arrived) }.map(&:last)
    assert_equal abandoned, again
    workers[1].close
    rest = messages(queue, 8)
    assert_equal 8, rest.map(&:last).uniq.size
    assert_equal 2, rest.first[1].delivery_mode
    assert_depth 0, queue
  end

  def test_nack_requeues_at_the_head_and_reject_drops
    queue = temporary
    queue.publish("a").publish("b")
    delivery, _, body = queue.pop(manual_ack: true)
    assert_equal ["a", false], [body, delivery[:redelivered]]
    @channel.nack(delivery.delivery_tag, false, true)
    delivery, _, body = queue.pop(manual_ack: true)
    assert_equal ["a", true], [body, delivery[:redelivered]]
    @channel.reject(delivery.delivery_tag, false)
    assert_equal "b", queue.pop[2]
    assert_equal [nil, nil, nil], queue.pop
  end

  def test_publish_subscribe_copies_to_every_subscriber
    exchange = @channel.fanout("ruby.news", auto_delete: true)
    queues = Array.new(3) { temporary.bind(exchange) }
    exchange.publish("one").publish("two", routing_key: "ignored")
    queues.each { |queue| assert_equal %w[one two], collect(queue, 2) }
  end

  def test_direct_routing_by_key
    exchange = @channel.direct("ruby.logs", auto_delete: true)
    all = temporary
    %w[info warning error].each { |key| all.bind(exchange, routing_key: key) }
    bad = temporary.bind(exchange, routing_key: "error")
    %w[info error debug warning].each { |key| exchange.publish(key, routing_key: key) }
    assert_equal %w[info error warning], collect(all, 3)
    assert_equal %w[error], collect(bad, 1)
    assert_depth 0, bad
  end

  def test_topics_one_word_and_many_words
    exchange = @channel.topic("ruby.topic", auto_delete: true)
    keys = %w[quick.orange.fox lazy lazy.brown.big.fox quick orange]
    expected = {
      "*.orange.*" => %w[quick.orange.fox],
      "lazy.#" => %w[lazy lazy.brown.big.fox],
      "#" => keys,
      "quick" => %w[quick]
    }
    queues = expected.to_h { |key, _| [key, temporary.bind(exchange, routing_key: key)] }
    keys.each { |key| exchange.publish(key, routing_key: key) }
    expected.each do |key, wanted|
      assert_equal wanted, collect(queues[key], wanted.size), key
      assert_depth 0, queues[key], key
    end
  end

  def test_headers_all_and_any
    exchange = @channel.headers("ruby.headers", auto_delete: true)
    wanted = { "format" => "pdf", "pages" => 3 }
    all = temporary.bind(exchange, arguments: { "x-match" => "all", **wanted })
    any = temporary.bind(exchange, arguments: { "x-match" => "any", **wanted })
    exchange.publish("both", headers: wanted)
    exchange.publish("one", headers: { "format" => "pdf", "pages" => 4 })
    exchange.publish("none", headers: { "format" => "txt" })
    assert_equal %w[both one], collect(any, 2)
    assert_equal %w[both], collect(all, 1)
  end

  def serve(queue)
    channel = @connection.create_channel
    channel.queue(queue.name, passive: true).subscribe(manual_ack: true) do |delivery, request, body|
      channel.default_exchange.publish(
        (body.to_i**2).to_s,
        routing_key: request.reply_to,
        correlation_id: request.correlation_id
      )
      channel.ack(delivery.delivery_tag)
    end
  end

  def test_rpc_over_a_reply_queue
    answers_match(temporary)
  end

  def test_rpc_over_direct_reply_to
    answers_match(@channel.queue("amq.rabbitmq.reply-to", no_declare: true))
  end

  def answers_match(replies)
    queue = temporary
    serve(queue)
    arrived = Queue.new
    replies.subscribe(manual_ack: false) do |_, properties, body|
      arrived << [properties.correlation_id, body]
    end
    (2..6).each do |number|
      queue.publish(number.to_s, reply_to: replies.name, correlation_id: "call #{number}")
    end
    wanted = (2..6).map { |number| ["call #{number}", (number**2).to_s] }
    assert_equal wanted, Array.new(5) { take(arrived) }.sort
  end

  def test_confirms_answer_every_publish
    @channel.confirm_select
    queue = @channel.queue("ruby.confirms", durable: true)
    200.times { |at| queue.publish(at.to_s * 100, persistent: true) }
    queue.publish("x" * 1_000_000, persistent: true)
    assert @channel.wait_for_confirms
    assert_empty @channel.nacked_set
    assert_empty @channel.unconfirmed_set
    assert_depth 201, queue
    assert_equal 1_000_000, collect(queue, 201).last.size
    queue.delete
  end

  def test_mandatory_returns_what_no_queue_takes
    @channel.confirm_select
    returned = Queue.new
    exchange = @channel.default_exchange
    exchange.on_return { |info, properties, body| returned << [info, properties, body] }
    exchange.publish("lost", routing_key: "ruby.nowhere", mandatory: true, message_id: "m1")
    info, properties, body = take(returned)
    assert_equal [312, "NO_ROUTE", "ruby.nowhere"], [info.reply_code, info.reply_text, info.routing_key]
    assert_equal %w[m1 lost], [properties.message_id, body]
    assert @channel.wait_for_confirms
  end

  def test_transaction_commits_and_rolls_back
    queue = temporary
    @channel.tx_select
    queue.publish("gone")
    @channel.tx_rollback
    queue.publish("kept")
    assert_depth 0, queue
    @channel.tx_commit
    assert_depth 1, queue
  end

  def test_a_consumer_hears_that_its_queue_is_gone
    queue = temporary
    cancelled = Queue.new
    consumer = Bunny::Consumer.new(@channel, queue)
    consumer.on_cancellation { |notice| cancelled << notice.consumer_tag }
    queue.subscribe_with(consumer)
    @connection.create_channel.queue_delete(queue.name)
    assert_equal consumer.consumer_tag, take(cancelled)
  end

  def test_cancel_stops_deliveries_and_the_queue_keeps_the_rest
    queue = temporary
    consumer = queue.subscribe { flunk "delivered" }
    consumer.cancel
    queue.publish("kept")
    assert_depth 1, queue
    queue.purge
    assert_depth 0, queue
  end

  def test_a_missing_queue_closes_the_channel_alone
    error = assert_raises(Bunny::NotFound) { @channel.queue("ruby.missing", passive: true) }
    assert_includes error.message, "NOT_FOUND - no queue 'ruby.missing' in vhost '/'"
    assert @channel.closed?
    assert_equal "b", via_new_channel("b")
  end

  def via_new_channel(body)
    channel = @connection.create_channel
    queue = temporary(channel)
    queue.publish(body)
    queue.pop[2]
  end

  def test_a_second_declare_that_differs_is_refused
    @channel.queue("ruby.mine", exclusive: true)
    other = @connection.create_channel
    error = assert_raises(Bunny::PreconditionFailed) do
      other.queue("ruby.mine", exclusive: true, auto_delete: true)
    end
    assert_includes error.message, "inequivalent arg 'auto_delete' for queue 'ruby.mine'"
  end

  def test_an_exclusive_queue_is_locked_for_others
    queue = temporary
    other = open_connection
    error = assert_raises(Bunny::ResourceLocked) do
      other.create_channel.queue(queue.name, passive: true)
    end
    assert_includes error.message, "RESOURCE_LOCKED - cannot obtain exclusive access"
    other.close
  end

  def test_a_publish_to_no_exchange_closes_the_channel
    @channel.basic_publish("x", "ruby.missing", "k")
    # The client tells whoever calls next, by either name, as the answer was there before or not.
    error = assert_raises(Bunny::NotFound, Bunny::ChannelAlreadyClosed) { temporary }
    refute_includes error.message, "queue 'ruby.missing'"
    assert @channel.closed?
  end

  def test_an_acknowledgement_of_nothing_closes_the_channel
    said = Queue.new
    @channel.on_error { |_, close| said << [close.reply_code, close.reply_text] }
    @channel.basic_ack(99, false)
    assert_equal [406, "PRECONDITION_FAILED - unknown delivery tag 99"], take(said)
  end

  def test_a_wrong_password_is_refused
    wrong = ENV.fetch("AMQP_URL").sub("guest:guest", "guest:wrong")
    assert_raises(Bunny::AuthenticationFailureError) { open_connection(wrong) }
  end

  def test_an_unknown_virtual_host_is_refused
    wrong = "#{ENV.fetch('AMQP_URL')}/nowhere"
    assert_raises(Bunny::NotAllowedError) { open_connection(wrong) }
  end
end

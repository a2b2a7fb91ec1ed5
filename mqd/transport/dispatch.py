"""From a method to the broker call it stands for, and from the result to the method that answers.

Decides that mapping, in one table. Never holds a rule: those are in `mqd.broker`; never touches a
socket: answers go to the connection's outlet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pamqp import commands
from pamqp.commands import Basic, Exchange, Queue

from mqd.amqp.codec import AccessRequest, AccessRequestOk, Method
from mqd.amqp.replies import AmqpError, ConnectionError_, ReplyCode
from mqd.broker import bind, consume, elsewhere, topology
from mqd.broker.channel import Channel
from mqd.broker.consumers import readdress
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition


class Line(Protocol):
    """What dispatch needs of the connection it answers on."""

    def send(self, channel_id: int, method: Method) -> None: ...

    def sent_content(self, size: int) -> None:
        """An answer was much larger than its question: frames behind it may have to wait until
        the peer has read it."""

    def await_answer(
        self,
        channel: Channel,
        start: Callable[[Callable[[Any], None]], None],
        answer: Callable[[Any], Method | None],
    ) -> None:
        """Run `start(done)`; send what `answer` makes of the result once there is one. Frames
        behind it stay unread until then."""


Step = Callable[[Line, Channel, Any], None]


def dispatch(line: Line, channel: Channel, method: Method) -> None:
    """Carry out a method on an open channel. Raises AmqpError."""
    step = _STEPS.get(type(method))
    if step is None:
        raise ConnectionError_(ReplyCode.COMMAND_INVALID, "unimplemented method")
    step(line, channel, method)


def _unless(nowait: bool, answer: Method) -> Method | None:
    return None if nowait else answer


# -- channel and access -------------------------------------------------------------------------


def _channel_flow(line: Line, channel: Channel, m: commands.Channel.Flow) -> None:
    if not m.active:
        raise ConnectionError_(ReplyCode.NOT_IMPLEMENTED, "active=false")
    line.send(channel.number, commands.Channel.FlowOk(True))


def _access_request(line: Line, channel: Channel, m: AccessRequest) -> None:
    del m
    line.send(channel.number, AccessRequestOk(1))


# -- exchange -----------------------------------------------------------------------------------


def _exchange_declare(line: Line, channel: Channel, m: Exchange.Declare) -> None:
    if m.passive:
        topology.find_exchange(channel, m.exchange)
        if not m.nowait:
            line.send(channel.number, Exchange.DeclareOk())
        return
    wanted = ExchangeDefinition(
        channel.vhost.name,
        topology.clean_name(m.exchange),
        m.exchange_type,
        m.durable,
        m.auto_delete,
        m.internal,
        _table(m.arguments),
    )
    line.await_answer(
        channel,
        lambda done: topology.declare_exchange(channel, wanted, done),
        lambda _: _unless(m.nowait, Exchange.DeclareOk()),
    )


def _exchange_delete(line: Line, channel: Channel, m: Exchange.Delete) -> None:
    line.await_answer(
        channel,
        lambda done: topology.delete_exchange(
            channel, m.exchange, if_unused=m.if_unused, done=done
        ),
        lambda _: _unless(m.nowait, Exchange.DeleteOk()),
    )


def _exchange_binding(channel: Channel, m: Exchange.Bind | Exchange.Unbind) -> BindingDefinition:
    return BindingDefinition(
        channel.vhost.name,
        topology.clean_name(m.source),
        "exchange",
        topology.clean_name(m.destination),
        m.routing_key,
        _table(m.arguments),
    )


def _exchange_bind(line: Line, channel: Channel, m: Exchange.Bind) -> None:
    binding = _exchange_binding(channel, m)
    line.await_answer(
        channel,
        lambda done: bind.bind(channel, binding, done),
        lambda _: _unless(m.nowait, Exchange.BindOk()),
    )


def _exchange_unbind(line: Line, channel: Channel, m: Exchange.Unbind) -> None:
    binding = _exchange_binding(channel, m)
    line.await_answer(
        channel,
        lambda done: bind.unbind(channel, binding, done),
        lambda _: _unless(m.nowait, Exchange.UnbindOk()),
    )


# -- queue --------------------------------------------------------------------------------------


def _queue_declare(line: Line, channel: Channel, m: Queue.Declare) -> None:
    def answer(state: topology.QueueState) -> Method | None:
        ok = Queue.DeclareOk.__new__(Queue.DeclareOk)  # its own check would refuse long names
        ok.queue, ok.message_count, ok.consumer_count = (
            state.name,
            state.ready_count,
            state.consumer_count,
        )
        return _unless(m.nowait, ok)

    if m.passive:
        line.await_answer(
            channel, lambda done: topology.declare_passive(channel, m.queue, done), answer
        )
        return
    line.await_answer(
        channel,
        lambda done: topology.declare_queue(
            channel,
            m.queue,
            durable=m.durable,
            exclusive=m.exclusive,
            auto_delete=m.auto_delete,
            arguments=_table(m.arguments),
            done=done,
        ),
        answer,
    )


def _queue_binding(channel: Channel, m: Queue.Bind | Queue.Unbind) -> BindingDefinition:
    queue = topology.actual_name(channel, topology.clean_name(m.queue))
    key = m.routing_key
    if not key and not m.queue:
        key = queue  # AMQP 0-9-1: with no queue and no key given, the key is the queue's name
    return BindingDefinition(
        channel.vhost.name,
        topology.clean_name(m.exchange),
        "queue",
        queue,
        key,
        _table(m.arguments),
    )


def _queue_bind(line: Line, channel: Channel, m: Queue.Bind) -> None:
    binding = _queue_binding(channel, m)
    line.await_answer(
        channel,
        lambda done: bind.bind(channel, binding, done),
        lambda _: _unless(m.nowait, Queue.BindOk()),
    )


def _queue_unbind(line: Line, channel: Channel, m: Queue.Unbind) -> None:
    binding = _queue_binding(channel, m)
    line.await_answer(
        channel,
        lambda done: bind.unbind(channel, binding, done),
        lambda _: Queue.UnbindOk(),
    )


def _queue_purge(line: Line, channel: Channel, m: Queue.Purge) -> None:
    line.await_answer(
        channel,
        lambda done: elsewhere.purge(channel, m.queue, done),
        lambda count: _unless(m.nowait, Queue.PurgeOk(count)),
    )


def _queue_delete(line: Line, channel: Channel, m: Queue.Delete) -> None:
    line.await_answer(
        channel,
        lambda done: elsewhere.delete(
            channel, m.queue, if_unused=m.if_unused, if_empty=m.if_empty, done=done
        ),
        lambda count: _unless(m.nowait, Queue.DeleteOk(count)),
    )


# -- basic --------------------------------------------------------------------------------------


def _basic_qos(line: Line, channel: Channel, m: Basic.Qos) -> None:
    if m.prefetch_size:
        raise ConnectionError_(ReplyCode.NOT_IMPLEMENTED, f"prefetch_size!=0 ({m.prefetch_size})")
    line.send(channel.number, Basic.QosOk())  # before what more room lets through, as 3.10.8
    channel.set_prefetch(m.prefetch_count, for_channel=m.global_)


def _basic_consume(line: Line, channel: Channel, m: Basic.Consume) -> None:
    if elsewhere.there(channel, m.queue):
        line.await_answer(
            channel,
            lambda done: elsewhere.consume(
                channel,
                m.queue,
                m.consumer_tag,
                no_ack=m.no_ack,
                exclusive=m.exclusive,
                arguments=_table(m.arguments),
                done=done,
            ),
            lambda tag: _unless(m.nowait, Basic.ConsumeOk(tag)),
        )
        return
    tag, queue = consume.consume(
        channel,
        m.queue,
        m.consumer_tag,
        no_ack=m.no_ack,
        exclusive=m.exclusive,
        arguments=_table(m.arguments),
    )
    if not m.nowait:
        line.send(channel.number, Basic.ConsumeOk(tag))
    if queue is not None:
        queue.drain()


def _basic_cancel(line: Line, channel: Channel, m: Basic.Cancel) -> None:
    tag = m.consumer_tag or ""
    consumer = channel.consumers.get(tag)
    if consumer is not None and consumer.queue.is_remote:
        line.await_answer(
            channel,
            lambda done: elsewhere.cancel(channel, consumer, done),
            lambda _: _unless(m.nowait, Basic.CancelOk(tag)),
        )
        return
    consume.cancel(channel, tag)
    if not m.nowait:
        line.send(channel.number, Basic.CancelOk(tag))


def _basic_get(line: Line, channel: Channel, m: Basic.Get) -> None:
    if elsewhere.waits(channel, m.queue):
        line.await_answer(
            channel,
            lambda done: elsewhere.get(channel, m.queue, no_ack=m.no_ack, done=done),
            lambda taken: _got(line, channel, taken),
        )
        return
    _got(line, channel, consume.get(channel, m.queue, no_ack=m.no_ack))


def _got(line: Line, channel: Channel, taken: consume.Got | None) -> None:
    if taken is None:
        line.send(channel.number, Basic.GetEmpty())
        return
    tag, redelivered, message, content, left = taken
    ok = Basic.GetOk.__new__(Basic.GetOk)  # its own check would refuse some routing keys
    ok.delivery_tag, ok.redelivered, ok.message_count = tag, redelivered, left
    ok.exchange, ok.routing_key = message.exchange, message.routing_key
    line.send(channel.number, ok)
    outlet = channel.outlet
    outlet.write(readdress(content, channel.number, outlet.frame_bytes_max))
    line.sent_content(len(content))


def _basic_ack(line: Line, channel: Channel, m: Basic.Ack) -> None:
    del line
    channel.ack(m.delivery_tag, m.multiple)


def _basic_nack(line: Line, channel: Channel, m: Basic.Nack) -> None:
    del line
    channel.nack(m.delivery_tag, multiple=m.multiple, requeue=m.requeue)


def _basic_reject(line: Line, channel: Channel, m: Basic.Reject) -> None:
    del line
    channel.nack(m.delivery_tag or 0, multiple=False, requeue=m.requeue)


def _basic_recover(line: Line, channel: Channel, m: Basic.Recover) -> None:
    _check_requeue(m.requeue)
    channel.check_recover()
    line.send(channel.number, Basic.RecoverOk())  # before what comes again, as 3.10.8
    channel.recover()


def _basic_recover_async(line: Line, channel: Channel, m: Basic.RecoverAsync) -> None:
    del line
    _check_requeue(m.requeue)
    channel.recover()


def _check_requeue(requeue: bool) -> None:
    if not requeue:
        raise ConnectionError_(ReplyCode.NOT_IMPLEMENTED, "requeue=false")


# -- confirm and tx -----------------------------------------------------------------------------


def _confirm_select(line: Line, channel: Channel, m: commands.Confirm.Select) -> None:
    channel.select_confirm()
    if not m.nowait:
        line.send(channel.number, commands.Confirm.SelectOk())


def _tx_select(line: Line, channel: Channel, m: commands.Tx.Select) -> None:
    del m
    channel.select_tx()
    line.send(channel.number, commands.Tx.SelectOk())


def _tx_commit(line: Line, channel: Channel, m: commands.Tx.Commit) -> None:
    del m
    line.await_answer(channel, channel.commit, lambda _: commands.Tx.CommitOk())


def _tx_rollback(line: Line, channel: Channel, m: commands.Tx.Rollback) -> None:
    del m
    channel.rollback()
    line.send(channel.number, commands.Tx.RollbackOk())


def _table(value: Any) -> Any:
    """Our codec reads tables with their types; pamqp's annotations cannot say so."""
    return value


def answer_error(result: Any) -> AmqpError | None:
    """The fault in what `done` was called with, if it is one."""
    return result if isinstance(result, AmqpError) else None


_STEPS: dict[type, Step] = {
    AccessRequest: _access_request,
    Basic.Ack: _basic_ack,
    Basic.Cancel: _basic_cancel,
    Basic.Consume: _basic_consume,
    Basic.Get: _basic_get,
    Basic.Nack: _basic_nack,
    Basic.Qos: _basic_qos,
    Basic.Recover: _basic_recover,
    Basic.RecoverAsync: _basic_recover_async,
    Basic.Reject: _basic_reject,
    commands.Channel.Flow: _channel_flow,
    commands.Confirm.Select: _confirm_select,
    commands.Tx.Commit: _tx_commit,
    commands.Tx.Rollback: _tx_rollback,
    commands.Tx.Select: _tx_select,
    Exchange.Bind: _exchange_bind,
    Exchange.Declare: _exchange_declare,
    Exchange.Delete: _exchange_delete,
    Exchange.Unbind: _exchange_unbind,
    Queue.Bind: _queue_bind,
    Queue.Declare: _queue_declare,
    Queue.Delete: _queue_delete,
    Queue.Purge: _queue_purge,
    Queue.Unbind: _queue_unbind,
}

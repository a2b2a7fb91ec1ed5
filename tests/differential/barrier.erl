%% A door into a RabbitMQ under test: tells when nothing in the node is under way any more.
%%
%% quiet/0 reads state, mailbox and reductions of every process twice. Processes that waited with an
%% empty mailbox both times and did no work in between were all at rest at one instant: between the
%% two readings. What was sent to the node before it was asked has then had all its effects, except
%% those of timers and of what clients have yet to send.
%%
%% A request is a term in Erlang's text format, an answer is text; both with a length of 4 bytes.
-module(barrier).
-export([start/1]).

start(Port) ->
    Starter = self(),
    spawn(fun() ->
        {ok, Listener} = gen_tcp:listen(Port, [binary, {ip, {127, 0, 0, 1}}, {packet, 4},
                                               {active, false}, {nodelay, true}]),
        Starter ! listening,
        accept(Listener)
    end),
    receive listening -> ok after 5000 -> error(timeout) end.

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    serve(Socket),
    accept(Listener).

serve(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Request} ->
            ok = gen_tcp:send(Socket, io_lib:format("~tp", [answer(Request)])),
            serve(Socket);
        {error, _} ->
            gen_tcp:close(Socket)
    end.

answer(<<"quiet">>) ->
    quiet();
answer(Request) ->
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Request)),
    {ok, {Module, Function, Arguments}} = erl_parse:parse_term(Tokens),
    apply(Module, Function, Arguments).

quiet() -> quiet(read(processes(), self(), [])).

quiet(Before) ->
    case read(processes(), self(), []) of
        Before when Before =/= busy -> ok;
        After -> erlang:yield(), quiet(After)
    end.

read([], _, Seen) ->
    Seen;
read([Self | Rest], Self, Seen) ->
    read(Rest, Self, Seen);
read([Pid | Rest], Self, Seen) ->
    case process_info(Pid, [status, message_queue_len, reductions]) of
        [{status, waiting}, {message_queue_len, 0}, {reductions, Work}] ->
            read(Rest, Self, [{Pid, Work} | Seen]);
        undefined ->
            read(Rest, Self, Seen);
        _ ->
            busy
    end.

-- needs: audit, sessions
-- Point instances of one account at upstreams, all of them or none. What one owes where it was stays owed there, by a
-- record of its own (`pg:{t}:former`), and its chats are kept under another id from here on.
-- KEYS account, its index of instances
-- ARGV clock (us or ''), account id, JSON list of moves, how many instances the account has ('' whatever),
--      JSON list of fields of the account to set, JSON list to drop, audit entry ('' none),
--      '1' to let two accounts use one session, which they did before
-- A move: id, version (as it was read), set, drop: fields; session: its key; former: fields of where it was ({}: it is
-- the same place still)
-- Returns 'ok' | 'gone' | 'again' where something else changed meanwhile | 'taken'
local FORMERS = 'pg:{t}:leaving:upstreams'
local now, account, moves = clock_ms(ARGV[1]), ARGV[2], cjson.decode(ARGV[3])
local status = redis.call('HGET', KEYS[1], 'status')
if not status or status == 'deleting' then return 'gone' end
if ARGV[4] ~= '' and redis.call('HLEN', KEYS[2]) ~= tonumber(ARGV[4]) then return 'again' end
for _, move in ipairs(moves) do
  local told = redis.call('HMGET', 'pg:{t}:instance:' .. move.id, 'version', 'status')
  if told[1] ~= move.version or told[2] ~= 'active' then return 'again' end
  if ARGV[8] ~= '1' and is_taken(move.session, account) then return 'taken' end
end

local function put(key, fields, dropped)
  if #fields > 0 then redis.call('HSET', key, unpack(fields)) end
  if #dropped > 0 then redis.call('HDEL', key, unpack(dropped)) end
end

for _, move in ipairs(moves) do
  local row = 'pg:{t}:instance:' .. move.id
  local before = redis.call('HMGET', row, 'moves', 'uses')
  local chats = chats_of(move.id, before[1])
  if #move.former > 0 then
    put('pg:{t}:former:' .. chats, move.former, {})
    redis.call('HSET', 'pg:{t}:former:' .. chats, 'deleted', string.format('%.0f', now), 'uses', before[2] or '')
    redis.call('SADD', FORMERS, chats)
    chats = chats_of(move.id, string.format('%.0f', redis.call('HINCRBY', row, 'moves', 1)))
  elseif before[2] ~= move.session then
    let_go(before[2], chats)
  end
  put(row, move.set, move.drop)
  redis.call('HSET', row, 'uses', move.session)
  hold(move.session, chats, account)
end
put(KEYS[1], cjson.decode(ARGV[5]), cjson.decode(ARGV[6]))
if ARGV[7] ~= '' then audit(ARGV[7]) else changed() end
return 'ok'

-- needs: clock
-- When chats wake up. An instance's chats (a sorted set) say when each does, and the partition's queue when the first of
-- an instance's does; both change in one step with the chat's record. Instants and spans are milliseconds.
local TAG = string.match(KEYS[1], '^pg:{%d%d}:') -- of the partition: every key here begins with it
local QUEUE = TAG .. 'queue'
local SOON = 1000 -- workers look this far ahead; of what is sooner they are told
local GRID = 100  -- refreshes are sent together where they are due together: on the tenths of a second, rather early
local KEY, INSTANCE, JID, CHATS -- the chat of the moment: its record, and its place

-- As text. Arguments of `redis.call` need not be: it writes whole numbers in full, unlike Lua's own `..`.
local function whole(n) return string.format('%.0f', n) end

local function turn_to(key)
  KEY = key
  INSTANCE, JID = string.match(key, '^pg:{%d%d}:c:([^:]+):(.+)$')
  CHATS = TAG .. 'chats:' .. INSTANCE
end

local function key_of(instance, jid) return TAG .. 'c:' .. instance .. ':' .. jid end

-- The partition's queue follows the first of the instance's chats.
local function follow()
  local first = redis.call('ZRANGE', CHATS, 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', QUEUE, first[2], INSTANCE) else redis.call('ZREM', QUEUE, INSTANCE) end
end

-- Wake up at `at`, and not before.
local function wake_at(at, now)
  redis.call('ZADD', CHATS, at, JID)
  follow()
  if at < now + SOON then redis.call('PUBLISH', 'pg:sooner', string.sub(TAG, 5, 6)) end
end

local function forget()
  redis.call('ZREM', CHATS, JID)
  follow()
end

-- When what shows until then, and was sent at that time, is to be sent again, or ended. Never early where what was sent
-- shows for no longer than until the next: there one must not be overlapped by another.
local function next_wake(ends, sent, refresh, life)
  local at = sent + refresh
  if ends - sent <= life or at >= ends then return ends end
  return refresh < life and math.floor(at / GRID) * GRID or at
end

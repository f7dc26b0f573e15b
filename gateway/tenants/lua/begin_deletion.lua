#!lua flags=allow-oom
-- needs: audit, deletion
-- Begin the end of an instance: its name is free and its tokens are dead when this returns.
-- ARGV clock (us or ''), instance id, audit entry
-- Returns 'ok' | 'gone'
local before = redis.call('HGET', 'pg:{t}:instance:' .. ARGV[2], 'status')
local verdict = leave(ARGV[2], clock_ms(ARGV[1]))
if verdict == 'ok' and before ~= 'deleting' then audit(ARGV[3]) end
return verdict

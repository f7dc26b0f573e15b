-- needs: tenants/admitting, promising
-- A command's admission and its promise in one round trip, where token, instance and chat live on one primary.
-- KEYS record, owed, queue, token, window, failures of the address, window over all tokens
-- ARGV as admit's, then the instance and the version for which the promise is meant, then what `promise` takes
-- Returns as `admit` does; where it admits to that very instance, with `promise`'s answer behind it
local now_us = clock(ARGV[1])
local admission = admit(math.floor(now_us / 1000), KEYS[4], KEYS[5], KEYS[6], KEYS[7],
  ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]))
local verdict, own, instance, version = admission[1], admission[7], admission[8], admission[9]
if verdict == 'ok' and instance == ARGV[7] and version == ARGV[8] and (own == '' or own == instance) then
  admission[12] = promise(now_us, ARGV[9], tonumber(ARGV[10]), ARGV[11], tonumber(ARGV[12]), tonumber(ARGV[13]),
    tonumber(ARGV[14]), ARGV[15], tonumber(ARGV[16]))
end
return admission

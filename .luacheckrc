-- What Redis gives a script; everything else is a file's own, or of the files that it needs (`make lint` composes them).
std = "lua51"
read_globals = { "KEYS", "ARGV", "redis", "cjson" }
max_line_length = 125

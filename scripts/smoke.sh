#!/bin/sh
# A smoke test with curl: health, sign up, create, track, stop, read the score, delete.
#
#   scripts/smoke.sh [URL] [SECONDS]     default http://127.0.0.1:5000 (or FOCUSUP_URL), 5
#
# Needs curl, and the `focusup` command for the socket: from PATH, the repository's .venv,
# or wherever FOCUSUP says. Ends with status 1 at the first step that fails. Plain POSIX,
# so that the sh and curl of an old macOS do; smoke.ps1 makes the same calls.
set -u

url=${1:-${FOCUSUP_URL:-http://127.0.0.1:5000}}
url=${url%/}
seconds=${2:-5}

venv=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin
find_tool() {
    if command -v "$1" >/dev/null 2>&1; then echo "$1"; else echo "$venv/$1"; fi
}
focusup=${FOCUSUP:-$(find_tool focusup)}
python=${PYTHON:-$(find_tool python3)}

work=$(mktemp -d "${TMPDIR:-/tmp}/focusup-smoke.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

step=
token=
exec 3>&1 # fail is called where stdout is captured, too
fail() {
    printf 'FAIL  %-12s %s\n' "$step" "$1" >&3
    exit 1
}
pass() { printf 'pass  %-12s %s\n' "$step" "$1"; }

# call METHOD PATH EXPECTED_STATUS [BODY]: the answer is in $work/answer afterwards.
call() {
    # In a file, because arguments are seen by every user of the machine.
    printf 'header = "Authorization: Bearer %s"\n' "$token" >"$work/headers"
    set -- "$1" "$2" "$3" "${4:-}"
    status=$(curl -sS --noproxy 'localhost,127.0.0.1,::1' --max-time 15 \
        -X "$1" ${token:+-K "$work/headers"} \
        ${4:+-H 'Content-Type: application/json' -d "$4"} \
        -o "$work/answer" -w '%{http_code}' "$url$2" 2>"$work/error") ||
        fail "$1 $2: $(cat "$work/error")"
    [ "$status" = "$3" ] || fail "$1 $2: $status instead of $3: $(cat "$work/answer")"
}

# field NAME...: walks into the JSON object on stdin.
field() {
    "$python" -c 'import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1:]:
    value = value[name]
print(value)' "$@" 2>"$work/error" || fail "no $* in the answer: $(tail -n 1 "$work/error")"
}

step='health'
call GET /api/health 200
pass "$url"

step='sign up'
email="smoke-$(date +%s)-$$@example.com"
call POST /api/auth/signup 201 "{\"email\": \"$email\", \"password\": \"smoke-$$-$(date +%s)\"}"
token=$(field accessToken <"$work/answer") || exit 1
pass "$email"

step='create'
call POST /api/sessions 201 '{"targetMinutes": 0.1, "title": "Smoke test"}'
id=$(field session _id <"$work/answer") || exit 1
pass "$id"

step='track'
FOCUSUP_TOKEN=$token "$focusup" track --url "$url" --session "$id" --seconds "$seconds" \
    >"$work/messages" 2>"$work/error" || fail "$(cat "$work/error")"
ticks=$(grep -c '"type": *"tick"' "$work/messages")
[ "$ticks" -gt 0 ] || fail 'not a single tick'
pass "$ticks ticks"

step='stop'
tail -n 1 "$work/messages" >"$work/stopped"
type=$(field type <"$work/stopped") || exit 1
[ "$type" = stopped ] || fail "the last message is $type"
told=$(field focusScore <"$work/stopped") || exit 1
pass "score $told"

step='read score'
call GET "/api/sessions/$id" 200
score=$(field session focusScore <"$work/answer") || exit 1
[ "$score" = "$told" ] || fail "$score is stored, $told was told"
pass "score $score"

step='statistics'
call PUT /api/goals 200 '{"sessionsPerDay": 1}'
call GET /api/stats/me 200
streak=$(field stats currentStreak <"$work/answer") || exit 1
[ "$streak" = 1 ] || fail "a streak of $streak days instead of 1"
reached=$(field stats today sessions reached <"$work/answer") || exit 1
[ "$reached" = True ] || fail 'the goal of today is not reached'
pass "a streak of $streak day"

step='delete'
call DELETE "/api/sessions/$id" 204
call GET "/api/sessions/$id" 404
pass '204, then 404'

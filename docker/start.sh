#!/usr/bin/env bash
# What YMIR runs, without arguments. Tests run it elsewhere: start.sh APP CODE [arguments of start.py]
app=${1:-/app}
code=${2:-/code}
# exec: signals of `docker stop` reach Python itself. Until it can handle them, they would be lost: the first process of
# a container ignores them, so they are held back, by `env` or, where it cannot (before coreutils 8.31, as in Ubuntu
# 20.04), by the Perl that Debian and Ubuntu always have
hold=(env --block-signal=TERM --block-signal=INT)
by_perl=(perl -MPOSIX=:signal_h -e 'sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM, SIGINT)); exec {$ARGV[0]} @ARGV')
"${hold[@]}" true 2>/dev/null || hold=("${by_perl[@]}")
"${hold[@]}" true 2>/dev/null || hold=()
if [ -e "$code" ]; then
    # a checkout that whoever starts the container has mounted; the image's own code decides whether it fits
    cd "$app" && exec "${hold[@]}" python -m ymir_detectron2.live_code "${@:3}" "$code"
fi
exec "${hold[@]}" python "$app/start.py" "${@:3}"

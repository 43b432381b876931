#!/usr/bin/env bash
# What YMIR runs, without arguments. Tests run it elsewhere: start.sh APP CODE [arguments of start.py]
app=${1:-/app}
code=${2:-/code}
# exec: signals of `docker stop` reach Python itself. Until it can handle them, they would be lost: the first process of
# a container ignores them, so they are held back, where `env` can do that (coreutils 8.31)
hold=(env --block-signal=TERM --block-signal=INT)
"${hold[@]}" true 2>/dev/null || hold=()
if [ -e "$code" ]; then
    # a checkout that whoever starts the container has mounted; the image's own code decides whether it fits
    cd "$app" && exec "${hold[@]}" python -m ymir_detectron2.live_code "${@:3}" "$code"
fi
exec "${hold[@]}" python "$app/start.py" "${@:3}"

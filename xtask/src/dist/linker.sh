#!/bin/sh
# Links the filter without the callbacks of the SDK. rustc passes each of them as `--export NAME`, which keeps its code
# and, through tables of functions, that of nearly all of the SDK; nothing that is cut away afterwards can undo that.
previous=
for argument in "$@"; do
    shift
    case "$previous $argument" in
    "--export proxy_on_memory_allocate") set -- "$@" --export "$argument" ;;
    "--export proxy_on_"*) ;;
    "--export "*) set -- "$@" --export "$argument" ;;
    *" --export") ;; # the name that follows decides
    *) set -- "$@" "$argument" ;;
    esac
    previous=$argument
done
exec rust-lld "$@" # rustc has put it on the path

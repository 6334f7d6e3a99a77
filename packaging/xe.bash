# Completion of xe in bash: verbs, parameters, uuids and names. It asks xe itself, with the options of the line;
# a password goes by the environment, which unlike arguments other users cannot see.

_xe_ask() {
    XE_EXTRA_ARGS=$_xe_extra xe "${_xe_options[@]}" "$@" 2>/dev/null </dev/null
}

# The noun that a verb is about: "vm-param-set" and "vm-start" to "vm".
_xe_noun() {
    local noun=${1%-param-*}
    noun=${noun%-list}
    while [[ $noun == *-* && " $_xe_verbs " != *" $noun-list "* ]]; do
        noun=${noun%-*}
    done
    printf '%s' "$noun"
}

# Values that parameter $2 of verb $1 can take, one per line.
_xe_values() {
    local verb=$1 name=$2 noun
    noun=$(_xe_noun "$verb")
    case $name in
        uuid) _xe_ask "$noun-list" params=uuid --minimal | tr ',' '\n' ;;
        uuids) _xe_ask "$noun-list" params=uuid --minimal | tr ',' '\n' ;;
        *-uuid) _xe_ask "${name%-uuid}-list" params=uuid --minimal | tr ',' '\n' ;;
        vm | host | sr | network | template | snapshot | pool) _xe_ask "$name-list" params=name-label --minimal | tr ',' '\n' ;;
        on) _xe_ask host-list params=name-label --minimal | tr ',' '\n' ;;
        cd-name) _xe_ask cd-list params=name-label --minimal | tr ',' '\n' ;;
        role-name) _xe_ask role-list params=name --minimal | tr ',' '\n' ;;
        name-label) _xe_ask "$noun-list" params=name-label --minimal | tr ',' '\n' ;;
        param-name) _xe_ask help "$noun-list" --minimal | tr ',' '\n' | sed 's/=$//; /^params$/d' ;;
        params) { echo all; _xe_ask help "$noun-list" --minimal | tr ',' '\n' | sed 's/=$//; /^params$/d'; } ;;
        data-source) _xe_ask "${verb%-*}-list" --minimal | tr ',' '\n' ;;
        subject-identifier) _xe_ask session-subject-identifier-list --minimal | tr ',' '\n' ;;
        class) _xe_ask help --all --minimal | tr ',' '\n' | sed -n '/-param-list$/s///p' ;;
        power-state) printf '%s\n' halted paused running suspended ;;
        force | multiple | paused | shared | sharable | bootable | is-* | enabled | progress | live) printf '%s\n' true false ;;
    esac
}

_xe() {
    local line=${COMP_LINE:0:COMP_POINT} word cur verb="" name value skip="" i
    local -a words _xe_options=()
    local _xe_verbs _xe_extra=$XE_EXTRA_ARGS
    COMPREPLY=()
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    cur=${words[-1]}
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        word=${words[i]}
        if [[ $skip == -pw ]]; then
            word=${word//\\/\\\\}
            _xe_extra+="${_xe_extra:+,}password=${word//,/\\,}"
            skip=""
        elif [[ -n $skip ]]; then
            _xe_options+=("$skip" "$word")
            skip=""
        elif [[ $word == -s || $word == -p || $word == -u || $word == -pw || $word == -pwf || $word == --socket ]]; then
            skip=$word
        elif [[ $word == --nossl ]]; then
            _xe_options+=("$word")
        elif [[ $word != -* && $word != *=* && (-z $verb || $verb == help) ]]; then
            verb=$word
        fi
    done
    [[ $skip == -pwf ]] && { mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return; }
    [[ -n $skip ]] && return
    _xe_verbs=$(xe help --all --minimal 2>/dev/null | tr ',' ' ')

    if [[ -z $verb || $verb == help ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$_xe_verbs" -- "$cur")
    elif [[ $cur == --* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--minimal --multiple --force --progress --debug --debug-on-fail" -- "$cur")
    elif [[ $cur == *=* ]]; then
        name=${cur%%=*} value=${cur#*=}
        if [[ $name =~ ^(filename|file-name|value-file|license-file|certificate|private-key|certificate-chain)$ ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$value")
        else
            local head=""
            if [[ $name == params && $value == *,* ]]; then
                head=${value%,*},
            fi
            while IFS= read -r word; do
                [[ $head$word == "$value"* ]] && COMPREPLY+=("$head$(printf '%q' "$word")")
            done < <(_xe_values "$verb" "$name")
        fi
        # Where '=' ends a word for bash, only the value is being completed.
        if [[ $COMP_WORDBREAKS != *=* ]]; then
            COMPREPLY=("${COMPREPLY[@]/#/$name=}")
        fi
    else
        compopt -o nospace 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -W "$(xe help "$verb" --minimal 2>/dev/null | tr ',' ' ')" -- "$cur")
    fi
}

complete -F _xe xe

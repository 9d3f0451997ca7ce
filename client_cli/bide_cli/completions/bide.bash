# Completion of bide for bash. Written by docs/completions.py from the program; don't edit it here.

_bide_feelings="glad light playful amused carefree thankful touched lucky honoured content satisfied cosy nourished thrilled excited overjoyed amazed calm settled rested unhurried grounded safe sheltered at-home trusting relieved unburdened forgiven reassured quiet centred mellow thoughtful close held comforted cared-for accompanied seen understood heard cherished fond tender affectionate smitten drawn flirty desiring yearning able sure confident steady decided brave daring open unshaken curious inspired absorbed hopeful proud accomplished respected useful sad low gloomy empty tearful lonely isolated distant homesick grieving bereft wistful heartbroken hurt let-down left-out overlooked afraid worried nervous preoccupied dreading unsure confused doubtful torn exposed fragile guarded threatened alarmed startled panicky shaken angry annoyed irritated impatient grumpy wronged betrayed blamed used fed-up resentful bitter stubborn furious seething outraged explosive ashamed guilty sorry regretful caught-out embarrassed awkward shy foolish small not-enough worthless burdensome envious jealous replaced outshone worn tired sleepy drained weary overloaded rushed stretched trapped numb bored listless detached tense restless on-edge touchy"
_bide_decks="appreciation checkin family friends invitations listening new-things questions-1 questions-2 questions-3 reflection repair safety sitting"
_bide_kinds="checkin appreciation repair share question feeling activity reflection keepsake erased"
_bide_steps="accept tell hear answer reconnect agree settle later rest return withdraw"
_bide_keys="auto_sync day_starts language with decks hold.checkin hold.appreciation hold.hearing hold.repair hold.share hold.question hold.answer hold.feeling hold.activity hold.reception hold.reflection hold.keepsake hold.erased"
_bide_days="today yesterday"

_bide_spec() {
    case "$1" in
    "") below="checkin thank share feel did reflect edit undo erase outbox send release hear ask answer repair receive later timeline show search review start init pair join people device recovery sync verify pause leave sit safety status decks relay unlock lock key config bundle import export completion doctor rebuild digest demo" flags="--version --help" takes="--home" ;;
    "checkin") below="" flags="--edit --private --now --json --plain --accessible --no-input --help" takes="--feelings --went-well --hard --worry --lift --grateful --proud --wants --later --from-json --with" ;;
    "thank") below="" flags="--edit --private --now --json --plain --accessible --no-input --help" takes="--noticed --felt --shows --from-json --with" ;;
    "share") below="" flags="--edit --private --now --json --plain --accessible --no-input --help" takes="--text --depth --feelings --wants --from-json --with" ;;
    "feel") below="" flags="--edit --private --now --json --plain --accessible --no-input --help" takes="--feelings --note --from-json --with" ;;
    "did") below="" flags="--edit --ideas --private --now --json --plain --accessible --no-input --help" takes="--what --idea --memory --from-json --with" ;;
    "reflect") below="" flags="--edit --json --plain --accessible --no-input --help" takes="--text --feelings --from-json" ;;
    "edit") below="" flags="--edit --now --json --plain --accessible --no-input --help" takes="--feelings --went-well --hard --worry --lift --grateful --proud --wants --later --noticed --felt --shows --mirrored --validated --empathised --topic --text --depth --question --answer --note --what --idea --memory --words --title --tags --from-json" ;;
    "undo") below="" flags="--yes --json --plain --accessible --no-input --help" takes="" ;;
    "erase") below="" flags="--all --yes --json --plain --accessible --no-input --help" takes="--with" ;;
    "outbox") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "send") below="" flags="--all --json --plain --accessible --no-input --help" takes="" ;;
    "release") below="" flags="--yes --now --json --plain --accessible --no-input --help" takes="--with" ;;
    "hear") below="" flags="--edit --heard --now --json --plain --accessible --no-input --help" takes="--mirrored --validated --empathised --from-json --not-quite" ;;
    "ask") below="" flags="--edit --now --json --plain --accessible --no-input --help" takes="--question --reveal --answer --from-json --deck --depth --item --with" ;;
    "answer") below="" flags="--edit --now --json --plain --accessible --no-input --help" takes="--answer --from-json --with" ;;
    "repair") below="" flags="--edit --heard --now --json --plain --accessible --no-input --help" takes="--topic --own-part --felt --question-for-you --mirrored --validated --empathised --gesture --agreement --from-json --not-quite --with" ;;
    "receive") below="" flags="--edit --now --json --plain --accessible --no-input --help" takes="--words --from-json" ;;
    "later") below="" flags="--back --json --plain --accessible --no-input --help" takes="" ;;
    "timeline") below="" flags="--json --plain --accessible --no-input --help" takes="--since --until --kind --by --search --with --limit" ;;
    "show") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "search") below="" flags="--json --plain --accessible --no-input --help" takes="--since --until --by --limit" ;;
    "review") below="" flags="--force --shared-only --json --plain --accessible --no-input --help" takes="--weeks --html --with" ;;
    "start") below="" flags="--json --plain --accessible --no-input --help" takes="--with" ;;
    "init") below="" flags="--passphrase --keyring --json --plain --accessible --no-input --help" takes="--name --key-file" ;;
    "pair") below="" flags="--words-verified --json --plain --accessible --no-input --help" takes="--kind" ;;
    "join") below="" flags="--words-verified --json --plain --accessible --no-input --help" takes="--code" ;;
    "people") below="default kind list" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "people default") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "people kind") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "people list") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "device") below="add join list rename revoke" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "device add") below="" flags="--words-verified --json --plain --accessible --no-input --help" takes="" ;;
    "device join") below="" flags="--words-verified --passphrase --keyring --json --plain --accessible --no-input --help" takes="--code --name --key-file" ;;
    "device list") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "device rename") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "device revoke") below="" flags="--yes --json --plain --accessible --no-input --help" takes="" ;;
    "recovery") below="check create destroy rotate status use" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "recovery check") below="" flags="--json --plain --accessible --no-input --help" takes="--words" ;;
    "recovery create") below="" flags="--words-noted --json --plain --accessible --no-input --help" takes="" ;;
    "recovery destroy") below="" flags="--yes --json --plain --accessible --no-input --help" takes="" ;;
    "recovery rotate") below="" flags="--words-noted --json --plain --accessible --no-input --help" takes="" ;;
    "recovery status") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "recovery use") below="" flags="--without-missing --passphrase --keyring --json --plain --accessible --no-input --help" takes="--words --relay --bundle --name --key-file" ;;
    "sync") below="" flags="--watch --json --plain --accessible --no-input --help" takes="" ;;
    "verify") below="" flags="--json --plain --accessible --no-input --help" takes="--with --words" ;;
    "pause") below="" flags="--end --json --plain --accessible --no-input --help" takes="--with" ;;
    "leave") below="" flags="--quietly --yes --json --plain --accessible --no-input --help" takes="--with" ;;
    "sit") below="" flags="--bell --json --plain --accessible --no-input --help" takes="--minutes --breaths --pace" ;;
    "safety") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "status") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "decks") below="check list show" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "decks check") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "decks list") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "decks show") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "relay") below="follow move set show unset" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "relay follow") below="" flags="--yes --json --plain --accessible --no-input --help" takes="--with" ;;
    "relay move") below="" flags="--without-old --json --plain --accessible --no-input --help" takes="--invite --with" ;;
    "relay set") below="" flags="--json --plain --accessible --no-input --help" takes="--invite" ;;
    "relay show") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "relay unset") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "unlock") below="" flags="--json --plain --accessible --no-input --help" takes="--for" ;;
    "lock") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "key") below="change rotate status" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "key change") below="" flags="--passphrase --keyring --json --plain --accessible --no-input --help" takes="--key-file --new-passphrase-file" ;;
    "key rotate") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "key status") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "config") below="get list set unset" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "config get") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "config list") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "config set") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "config unset") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "bundle") below="export import" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "bundle export") below="" flags="--force --json --plain --accessible --no-input --help" takes="--with" ;;
    "bundle import") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "import") below="" flags="--dry-run --yes --json --plain --accessible --no-input --help" takes="--with --zone --timeformat" ;;
    "export") below="" flags="--force --mine --private-only --shared-only --json --plain --accessible --no-input --help" takes="--format --output --since --until --kind --with" ;;
    "completion") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "doctor") below="" flags="--again --repair --json --plain --accessible --no-input --help" takes="" ;;
    "rebuild") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "digest") below="" flags="--json --plain --accessible --no-input --help" takes="" ;;
    "demo") below="" flags="--help" takes="--dir" ;;
    esac
}

_bide_values() {
    words="" files="" list=""
    case "$1/$2" in
    "/--home"|"demo/--dir") files="folders" ;;
    "checkin/--feelings"|"share/--feelings"|"feel/--feelings"|"feel/"*|"reflect/--feelings"|"edit/--feelings") words="$_bide_feelings" list="yes" ;;
    "checkin/--wants"|"share/--wants"|"edit/--wants") words="listening advice nothing" ;;
    "checkin/--from-json"|"thank/--from-json"|"share/--from-json"|"feel/--from-json"|"did/--from-json"|"reflect/--from-json"|"edit/--from-json"|"hear/--from-json"|"ask/--from-json"|"answer/--from-json"|"repair/--from-json"|"receive/--from-json"|"review/--html"|"init/--key-file"|"device join/--key-file"|"recovery use/--bundle"|"recovery use/--key-file"|"decks check/1"|"key change/--key-file"|"key change/--new-passphrase-file"|"bundle export/1"|"bundle import/1"|"import/2"|"export/--output") files="files" ;;
    "share/--depth"|"edit/--depth") words="1 2 3" ;;
    "did/--idea"|"edit/--idea") words="mine theirs both" ;;
    "ask/--reveal") words="at_once both" ;;
    "ask/--deck"|"decks show/1") words="$_bide_decks" ;;
    "repair/1"|"repair/2") words="$_bide_steps" ;;
    "timeline/--since"|"timeline/--until"|"search/--since"|"search/--until"|"export/--since"|"export/--until") words="$_bide_days" ;;
    "timeline/--kind"|"export/--kind") words="$_bide_kinds" ;;
    "pair/--kind"|"people kind/2") words="partner friend family" ;;
    "sit/1") words="talk gaze breathe" ;;
    "config get/1"|"config set/1"|"config unset/1") words="$_bide_keys" ;;
    "import/1") words="jrnl dayone daylio bide" ;;
    "export/--format") words="markdown json html" ;;
    "completion/1") words="bash zsh fish" ;;
    esac
}

_bide() {
    local cur="${COMP_WORDS[COMP_CWORD]}" path="" pending="" position=1 at=1 word
    local below="" flags="" takes="" words="" files="" list="" before=""
    COMPREPLY=()
    _bide_spec ""
    while [ "$at" -lt "$COMP_CWORD" ]; do
        word="${COMP_WORDS[at]}"
        case "$word" in
        -*)
            case " $takes --home " in
            *" $word "*)
                # bash takes --kind=repair apart into three words.
                [ "${COMP_WORDS[at + 1]}" = "=" ] && at=$((at + 1))
                at=$((at + 1))
                [ "$at" -ge "$COMP_CWORD" ] && pending="$word"
                ;;
            esac
            ;;
        *)
            case " $below " in
            *" $word "*) path="${path:+$path }$word" position=1 below="" flags="" takes="" && _bide_spec "$path" ;;
            *) position=$((position + 1)) ;;
            esac
            ;;
        esac
        at=$((at + 1))
    done
    [ "$cur" = "=" ] && cur=""
    if [ -n "$pending" ]; then
        _bide_values "$path" "$pending"
    elif [ "${cur#-}" != "$cur" ]; then
        words="$flags $takes"
    elif [ -n "$below" ]; then
        words="$below"
    else
        _bide_values "$path" "$position"
    fi
    if [ -n "$list" ] && [ "${cur%,*}" != "$cur" ]; then
        before="${cur%,*}," cur="${cur##*,}"
    fi
    if [ -n "$files" ]; then
        type compopt >/dev/null 2>&1 && compopt -o filenames 2>/dev/null
        local IFS=$'\n'
        if [ "$files" = "folders" ]; then
            COMPREPLY=($(compgen -d -- "$cur"))
        else
            COMPREPLY=($(compgen -f -- "$cur"))
        fi
    else
        COMPREPLY=($(compgen -P "$before" -W "$words" -- "$cur"))
    fi
}

complete -F _bide bide

# rootfs/airlock.bash - completion of airlock's commands, options and files for bash.

_airlock()
{
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
        local command=${COMP_WORDS[1]} options= i
        COMPREPLY=()

        if ((COMP_CWORD == 1)); then
                mapfile -t COMPREPLY < <(compgen -W \
                        'run init check doctor sandbox proxy secret cache agent exec-server exec-client report --help --version' -- "$current")
                return
        fi
        case $previous in
        -o | --output | -i | --identity | -R | --recipients-file | --file-key)
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                compopt -o filenames 2>/dev/null
                return
                ;;
        --token-file)
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                compopt -o filenames 2>/dev/null
                return
                ;;
        --env)
                mapfile -t COMPREPLY < <(compgen -v -- "$current")
                return
                ;;
        --via | --cwd | --wait) return ;;
        -r | --recipient) return ;;
        --resume)
                [[ $command == agent ]] && i=-f || i=-d
                mapfile -t COMPREPLY < <(compgen $i -- "$current")
                compopt -o filenames 2>/dev/null
                return
                ;;
        --box | --out | --root | --cd | -C)
                mapfile -t COMPREPLY < <(compgen -d -- "$current")
                compopt -o filenames 2>/dev/null
                return
                ;;
        -p)
                mapfile -t COMPREPLY < <(compgen -A signal -- "$current")
                return
                ;;
        --wire) options='auto responses chat' ;;
        --color) options='auto always never' ;;
        --sandbox | -s) [[ $command != agent ]] || options='read-only workspace-write danger-full-access' ;;
        --output-schema | --environments | --save | --ca-bundle | --output-last-message)
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                compopt -o filenames 2>/dev/null
                return
                ;;
        --net) options='off limited full' ;;
        --fs) options='read-only workspace-write full' ;;
        --lock) options='netns notify closed' ;;
        --preset) options='none common-dependencies all' ;;
        -e | -t | --allow | --deny | --methods | --rule) return ;;
        --ws-auth)
                mapfile -t COMPREPLY < <(compgen -W 'capability-token signed-bearer-token' \
                        -- "$current")
                return
                ;;
        --listen)
                mapfile -t COMPREPLY < <(compgen -W 'ws://127.0.0.1:0 unix: stdio' -- "$current")
                return
                ;;
        esac
        if [[ $options ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
                return
        fi
        case $command in
        report) options='-o -h --help' ;;
        agent)
                options='--base-url -m --model --wire --key-env --ca-bundle --upstream --effort'
                options+=' --images --shell-tool -s --sandbox -C --cd --skip-git-repo-check'
                options+=' --json -o --output-last-message --output-schema --save --resume'
                options+=' --environments --context-window --max-requests --max-tokens --timeout --retries'
                options+=' --color --no-assess -q --quiet -h --help -V --version'
                ;;
        run) options='--box --out --resume -q --quiet -h --help' ;;
        init) options='-s -p -v -w -g -e -t -l -h --help --version --' ;;
        sandbox)
                options='--net --allow --deny --preset --methods --rule --journal --fs --root'
                options+=' --lock --prove -v --verbose -h --help --'
                ;;
        exec-server)
                options='--listen --ws-auth --ws-token-file --ws-token-sha256'
                options+=' --ws-shared-secret-file --ws-issuer --ws-audience'
                options+=' --ws-max-clock-skew-seconds --insecure-no-auth'
                options+=' --exit-on-stdin-close --idle-exit --keep --concurrent-requests --help --version'
                ;;
        check) options='-h --help --repo --resume' ;;
        doctor) options='-h --help' ;;
        exec-client)
                options='--via --token-file --ca-bundle --upstream --cwd --env --clean-env --pty -n --no-stdin --wait'
                options+=' --help --version --'
                ;;
        secret)
                if ((COMP_CWORD == 2)); then
                        mapfile -t COMPREPLY < <(compgen -W \
                                'keygen encrypt decrypt --help' -- "$current")
                        return
                fi
                case ${COMP_WORDS[2]} in
                keygen) options='-o --output --help' ;;
                encrypt)
                        options='-r --recipient -R --recipients-file -a --armor
                                -o --output --help'
                        ;;
                decrypt) options='-i --identity --file-key -o --output --help' ;;
                *) return ;;
                esac
                ;;
        *) return ;;
        esac
        if [[ $command == init || $command == sandbox ]]; then
                # The program and what follows it are its own business.
                for ((i = 2; i < COMP_CWORD; i++)); do
                        [[ ${COMP_WORDS[i]} == -- ]] && options=
                done
        fi
        if [[ $current == -* && $options ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
        elif [[ $command == init || $command == sandbox ]]; then
                mapfile -t COMPREPLY < <(compgen -c -- "$current")
        elif [[ $command != doctor ]]; then
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                compopt -o filenames 2>/dev/null
        fi
}
complete -F _airlock airlock

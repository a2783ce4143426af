#compdef wire
# zsh completion for wire: eval "$(wire completion zsh)" after compinit, or as _wire in a directory of $fpath
_wire() {
	local line files
	local -a candidates
	for line in "${(@f)$(${words[1]} __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		if [[ $line == :files ]]; then
			files=1
		elif [[ -n $line ]]; then
			candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
		fi
	done
	(( $#candidates )) && _describe wire candidates
	[[ -n $files ]] && _files
	return 0
}
if [[ ${funcstack[1]} == _wire ]]; then
	_wire "$@"
else
	compdef _wire wire
fi

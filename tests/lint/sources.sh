# sources.sh - read in by the lint scripts: goes to the top of the tree and lists its files.
# A work tree is asked through git (tracked, and new but not ignored); an unpacked archive by find.
cd "$(dirname "$0")/../.."

# Regular files of the tree, one a line, without build products and data.
tree_files() {
    if [ -e .git ] && git rev-parse --git-dir >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard | while IFS= read -r file; do
            [ ! -f "$file" ] || printf '%s\n' "$file"
        done
    else
        find . \( -path './build*' -o -path ./data -o -path ./.git \) -prune -o -type f -print |
            sed 's|^\./||'
    fi | sort
}

# The C sources and headers.
c_files() {
    tree_files | grep '\.[ch]$'
}

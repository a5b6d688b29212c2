# shellcheck shell=bash
# Kubernetes from Debian's source; sourced by scripts/test-cluster, after scripts/lib.sh.

kubernetes_programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

# build_kubernetes CACHE: the programs and a static `pause`, in CACHE/bin; made once, in about ten minutes on two processors.
build_kubernetes() {
    local cache=$1 source=$1/gopath/src/k8s.io/kubernetes
    mkdir -p "$cache/bin"
    if [ ! -e "$cache/unpacked" ]; then
        fetch_source "$cache/src"
        say "unpacking the source, with Debian's patches"
        rm -rf "$source"
        mkdir -p "${source%/*}"
        dpkg-source --no-check -x "$cache"/src/kubernetes_*.dsc "$source" >"$cache/unpack.log" 2>&1 ||
            { tail -n 20 "$cache/unpack.log" >&2; die "the source does not unpack"; }
        touch "$cache/unpacked"
    fi
    export GOPATH=$cache/gopath GOCACHE=$cache/gocache GO111MODULE=off CGO_ENABLED=0
    cd "$source" || exit
    say "compiling Kubernetes: ${kubernetes_programs[*]} (log: $cache/compile.log)"
    compile "$cache" >"$cache/compile.log" 2>&1 || { tail -n 20 "$cache/compile.log" >&2; die "it does not compile"; }
    cd - >/dev/null || exit
    touch "$cache/built"
    # Nobody needs the source again, nor what Go keeps of it: 2 GB.
    rm -rf "$cache/unpacked" "$cache/gopath" "$cache/gocache"
}

# Its own list of sources, so that the machine's is not changed: each `deb` line again as `deb-src`.
fetch_source() {
    local apt=$1/apt
    mkdir -p "$1" "$apt/lists/partial" "$apt/cache/archives/partial"
    compgen -G "$1/kubernetes_*.dsc" >/dev/null && return
    say "fetching Debian's source package"
    source_list >"$apt/sources.list"
    local options=(-o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/nonexistent
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Acquire::Retries=3 -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update >"$apt/log" 2>&1 &&
        (cd "$1" && apt-get "${options[@]}" source --download-only kubernetes >>"$apt/log" 2>&1) ||
        { tail -n 20 "$apt/log" >&2; die "cannot get the source package \`kubernetes\` by apt"; }
}

source_list() {
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -f "$file" ] || sed -n 's/^deb /deb-src /p' "$file"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        # In this format a paragraph's URIs, Suites and Components make one line.
        [ ! -f "$file" ] || awk -v RS= -F'\n' '{
            uris = suites = components = signed = ""
            for (i = 1; i <= NF; i++) {
                value = $i; sub(/^[^:]*: */, "", value)
                if ($i ~ /^URIs:/) uris = value
                if ($i ~ /^Suites:/) suites = value
                if ($i ~ /^Components:/) components = value
                if ($i ~ /^Signed-By:/) signed = "[signed-by=" value "] "
            }
            n = split(uris, uri, " "); m = split(suites, suite, " ")
            for (u = 1; u <= n; u++) for (s = 1; s <= m; s++) print "deb-src " signed uri[u], suite[s], components
        }' "$file"
    done
}

# In a GOPATH, as Debian builds it, but without its make files, which want git and rsync. The API's description is the
# only generated file that is not in the source.
compile() {
    local go=/usr/lib/go-1.19/bin/go openapi=pkg/generated/openapi
    local module=k8s.io/kubernetes version=k8s.io/kubernetes/vendor/k8s.io/component-base/version
    local client=k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version
    local stamp="-s -w" package program
    for package in "$version" "$client"; do
        stamp+=" -X $package.gitVersion=v1.20.2 -X $package.gitMajor=1 -X $package.gitMinor=20 -X $package.gitTreeState=archive"
    done
    if [ ! -e $openapi/zz_generated.openapi.go ]; then
        $go build -o "$1/bin/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen || return
        PATH=${go%/*}:$PATH "$1/bin/openapi-gen" --logtostderr -i "$(described_packages)" -p $module/$openapi \
            -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$1/violations.report" || return
    fi
    for program in "${kubernetes_programs[@]}"; do
        [ -x "$1/bin/$program" ] || $go build -ldflags "$stamp" -o "$1/bin/$program" "./cmd/$program" || return
    done
    gcc -Os -static -DVERSION=3.2 -o "$1/bin/pause" build/pause/linux/pause.c
}

# The packages whose types the API describes, with commas between.
described_packages() {
    find . \( -path './_*' -o -path './.*' -o -path ./vendor \) -prune -o -name '*.go' -print |
        sed 's|^\./||; s|^staging/src|vendor|' |
        grep -v '^vendor/k8s.io/code-generator/\|^vendor/k8s.io/sample-apiserver/' |
        xargs grep -l '^// *+k8s:openapi-gen=' | xargs -n1 dirname | LC_ALL=C sort -u |
        sed 's|^|k8s.io/kubernetes/|' | paste -sd,
}

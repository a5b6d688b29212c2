#!/bin/sh
# Makes the node's own world and stays as its first process. node.sh WORK: a folder on a real disk.
set -eu
work=$1
# What kubelet and dockerd mount is seen by both and by nobody outside.
mount --make-rshared /

# Both keep state in fixed places below /var/lib, /var/log and /run: here these are the node's own.
mkdir -p "$work/lib" "$work/lib.work" "$work/log" "$work/kubelet" "$work/docker"
mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$work/lib,workdir=$work/lib.work" /var/lib
mkdir -p /var/lib/kubelet /var/lib/docker
mount --bind "$work/kubelet" /var/lib/kubelet
mount --bind "$work/docker" /var/lib/docker
mount --bind "$work/log" /var/log
mount -t tmpfs -o mode=755 tmpfs /run

# kubelet sets these for the whole machine. It may believe that it did.
mkdir /run/sysctl
while read -r name value; do
    echo "$value" >"/run/sysctl/${name##*/}"
    mount --bind "/run/sysctl/${name##*/}" "/proc/sys/$name"
done <<END
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END

ip link set lo up
hostname "$2"
touch "$work/ready"
exec tini -s -- sleep infinity

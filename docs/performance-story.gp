# SPDX-License-Identifier: GPL-2.0-only
# gnuplot performance-story.gp > performance-story.svg
# Instructions, median. What each set of patches leaves of a warm fault, and of a cold one of 2 MiB.
set terminal svg size 720,400 font "sans-serif,13" background "white"
set encoding utf8
set grid ytics lc rgb "#dddddd"
set border 3 lc rgb "#666666"
set tics nomirror
set style data histograms
set style histogram clustered gap 1
set style fill solid noborder
set boxwidth 0.9
set yrange [0:*]
set ylabel "instructions, median"
set key outside bottom center horizontal
$d << EOD
what "unpatched" "0001-0007: pages belong to one file" "+ 0008-0012: VMA lock, tree, one round" "+ 0016-0025, claims by count: the rest"
"ext4 4 KiB read" 3921 3916 2813 2783
"ext4 4 KiB write" 4879 4870 3762 3736
"ext4 2 MiB read" 4006 3998 2771 2671
"ext4 2 MiB, cold" 7411 9762 8571 4838
"XFS 4 KiB read" NaN 4427 3938 3434
"fuse 4 KiB read" NaN 3808 2705 2677
"fuse 4 KiB write" NaN 3947 2839 2807
"fuse 2 MiB read" NaN 3899 2672 2572
EOD
set xtics rotate by -25
plot for [i=2:5] $d using i:xtic(1) title columnheader(i) lc rgb word("#4a4a4a #d1495b #c98b2b #1b6ca8", i - 1)

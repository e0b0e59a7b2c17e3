#!/bin/sh
# Rebuild everything on one CPU core, about 65 minutes.  Run in this folder with a
# Python that has torch, numpy, tokenizers, safetensors, gguf, transformers, peft,
# pillow and llama-cpp-python.
set -e
export OMP_NUM_THREADS=1
W=work OUT=out
mkdir -p $W $OUT
python make_tokenizer.py $W/tok
python train_chat.py --out $W/tinychat1.pt --minutes 25 --copy-seconds 110 --tokens 3072 --cool 0.6
python train_chat.py --init $W/tinychat1.pt --tune --seed 8 --out $W/tinychat2.pt --minutes 8 --tokens 3072 --cool 1.0 --muon-lr 0.008 --adam-lr 1e-3
python train_chat.py --init $W/tinychat2.pt --tune --seed 9 --out $W/tinychat.pt --minutes 5 --tokens 3072 --cool 1.0 --muon-lr 0.007 --adam-lr 9e-4
python train_chat.py --draft --out $W/tinydraft.pt --minutes 5 --copy-seconds 75 --tokens 3072 --cool 0.6
python lora.py train --chat $W/tinychat.pt --out $W/tinylora.pt --minutes 2
python vision.py eye --out $W/eye1.pt --minutes 5
python vision.py eye --init $W/eye1.pt --seed 4 --out $W/eye.pt --minutes 5
python vision.py train --chat $W/tinychat1.pt --eye $W/eye.pt --out $W/tinyvision.pt --minutes 8
python export.py $W/tinychat.pt --name tinychat --out $OUT --hf --quants q8_0 q4_0 q4_k_m
python export.py $W/tinydraft.pt --name tinydraft --out $OUT
python lora.py export $W/tinylora.pt --out $OUT
python vision.py export $W/tinyvision.pt --out $OUT --work $W
python tiny_bert.py $OUT/tinyembed-random-f16.gguf
python minilm_check.py --tiny $OUT/tinyembed-random-f16.gguf $OUT/tinyembed_expected.json
python verify.py --checkpoint $W/tinychat.pt --hf $OUT/tinychat-hf --gguf $OUT/tinychat-f16.gguf
python evaluate.py $OUT/tinychat-f16.gguf --n 50 --quiet --out $OUT/accuracy.json
python lora.py check --base $OUT/tinychat-f16.gguf --lora $OUT/tinylora-f16.gguf --hf $OUT/tinychat-hf
python vision.py check --text $OUT/tinyvision-q8_0.gguf --mmproj $OUT/tinyvision-mmproj-f16.gguf
# all-MiniLM-L6-v2 is not shipped (46 MB); with its files in $W/minilm:
#   python bert_to_gguf.py $W/minilm $W/minilm-f16.gguf --name all-MiniLM-L6-v2
#   python minilm_check.py $W/minilm $W/minilm-f16.gguf $OUT/minilm_expected.json
python make_expected.py


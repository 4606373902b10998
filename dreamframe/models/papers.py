"""The papers that steps, prompts, trainers and models cite by their address: what cards call them, and their BibTeX."""

from __future__ import annotations

import re
from typing import NamedTuple


class Paper(NamedTuple):
    """A paper. `authors` as BibTeX has them; where they are more than three, the first "and others"."""

    short: str  # what cards call it
    title: str
    authors: str
    year: int


PAPERS = {  # by arXiv id, or DOI
    "2212.10560": Paper("Self-Instruct", "Self-Instruct: Aligning Language Models with Self-Generated Instructions", "Wang, Yizhong and others", 2022),
    "2304.12244": Paper("Evol-Instruct", "WizardLM: Empowering Large Language Models to Follow Complex Instructions", "Xu, Can and others", 2023),
    "2308.06259": Paper("Instruction backtranslation", "Self-Alignment with Instruction Backtranslation", "Li, Xian and others", 2023),
    "2205.10625": Paper(
        "Least-to-most prompting", "Least-to-Most Prompting Enables Complex Reasoning in Large Language Models", "Zhou, Denny and others", 2022
    ),
    "2209.14500": Paper("Bidirectional prompting", "Bidirectional Language Models Are Also Few-shot Learners", "Patel, Ajay and others", 2022),
    "2306.15895": Paper(
        "AttrPrompt", "Large Language Model as Attributed Training Data Generator: A Tale of Diversity and Bias", "Yu, Yue and others", 2023
    ),
    "2106.09685": Paper("LoRA", "LoRA: Low-Rank Adaptation of Large Language Models", "Hu, Edward J. and others", 2021),
    "2305.14314": Paper("QLoRA", "QLoRA: Efficient Finetuning of Quantized LLMs", "Dettmers, Tim and others", 2023),
    "2402.09353": Paper("DoRA", "DoRA: Weight-Decomposed Low-Rank Adaptation", "Liu, Shih-Yang and others", 2024),
    "2205.05638": Paper("IA3", "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning", "Liu, Haokun and others", 2022),
    "2104.08691": Paper("Prompt tuning", "The Power of Scale for Parameter-Efficient Prompt Tuning", "Lester, Brian and others", 2021),
    "2101.00190": Paper("Prefix tuning", "Prefix-Tuning: Optimizing Continuous Prompts for Generation", "Li, Xiang Lisa and Liang, Percy", 2021),
    "2103.10385": Paper("P-tuning", "GPT Understands, Too", "Liu, Xiao and others", 2021),
    "2303.10512": Paper("AdaLoRA", "AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning", "Zhang, Qingru and others", 2023),
    "2310.11454": Paper("VeRA", "VeRA: Vector-based Random Matrix Adaptation", "Kopiczko, Dawid J. and Blankevoort, Tijmen and Asano, Yuki M.", 2023),
    "1908.10084": Paper("Sentence-BERT", "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", "Reimers, Nils and Gurevych, Iryna", 2019),
    "2203.02155": Paper(
        "Instruction tuning with human feedback", "Training language models to follow instructions with human feedback", "Ouyang, Long and others", 2022
    ),
    "2005.14165": Paper("Few-shot prompting", "Language Models are Few-Shot Learners", "Brown, Tom B. and others", 2020),
    "2101.06804": Paper("Nearest examples for few-shot prompts", "What Makes Good In-Context Examples for GPT-3?", "Liu, Jiachang and others", 2021),
    "2509.02896": Paper(
        "BARGAIN",
        "Cut Costs, Not Accuracy: LLM-Powered Data Processing with Guarantees",
        "Zeighami, Sepanta and Shankar, Shreya and Parameswaran, Aditya",
        2025,
    ),
    "2004.00827": Paper("SUPG", "Approximate Selection with Guarantees using Proxies", "Kang, Daniel and others", 2020),
    "2306.05685": Paper("LLM as a judge", "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", "Zheng, Lianmin and others", 2023),
    "2305.17926": Paper("Judging in both orders", "Large Language Models are not Fair Evaluators", "Wang, Peiyi and others", 2023),
    "2303.16634": Paper("G-Eval", "G-Eval: NLG Evaluation using GPT-4 with Better Human Alignment", "Liu, Yang and others", 2023),
    "2005.11401": Paper(
        "Retrieval-augmented generation", "Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks", "Lewis, Patrick and others", 2020
    ),
    "1603.09320": Paper(
        "HNSW search",
        "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World graphs",
        "Malkov, Yu. A. and Yashunin, D. A.",
        2016,
    ),
    "2004.04906": Paper("Dense passage retrieval", "Dense Passage Retrieval for Open-Domain Question Answering", "Karpukhin, Vladimir and others", 2020),
    "2109.10862": Paper("Recursive summaries", "Recursively Summarizing Books with Human Feedback", "Wu, Jeff and others", 2021),
    "2507.19457": Paper("GEPA", "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning", "Agrawal, Lakshya A. and others", 2025),
    "2303.09540": Paper("SemDeDup", "SemDeDup: Data-efficient learning at web-scale through semantic deduplication", "Abbas, Amro and others", 2023),
    "10.2307/2334029": Paper(
        "Bradley-Terry model",
        "Rank Analysis of Incomplete Block Designs: I. The Method of Paired Comparisons",
        "Bradley, Ralph Allan and Terry, Milton E.",
        1952,
    ),
    "10.1080/10618600.2012.638220": Paper(
        "Bayesian Bradley-Terry model", "Efficient Bayesian Inference for Generalized Bradley-Terry Models", "Caron, Francois and Doucet, Arnaud", 2012
    ),
    "10.1109/SEQUEN.1997.666900": Paper("MinHash", "On the resemblance and containment of documents", "Broder, Andrei Z.", 1997),
    "10.1109/TIT.1982.1056489": Paper("k-means", "Least squares quantization in PCM", "Lloyd, Stuart P.", 1982),
    "10.1080/01621459.1927.10502953": Paper(
        "Wilson interval", "Probable Inference, the Law of Succession, and Statistical Inference", "Wilson, Edwin B.", 1927
    ),
    "10.1080/01621459.1987.10478410": Paper("BCa bootstrap", "Better Bootstrap Confidence Intervals", "Efron, Bradley", 1987),
    "10.1007/BF02295996": Paper(
        "McNemar test", "Note on the sampling error of the difference between correlated proportions or percentages", "McNemar, Quinn", 1947
    ),
    "10.1002/sim.1781": Paper(
        "paired interval", "Simple improved confidence intervals for comparing matched proportions", "Agresti, Alan and Min, Yongyi", 2005
    ),
    "10.5555/1283383.1283494": Paper("k-means++", "k-means++: The Advantages of Careful Seeding", "Arthur, David and Vassilvitskii, Sergei", 2007),
    # Trainers
    "2305.18290": Paper("DPO", "Direct Preference Optimization: Your Language Model is Secretly a Reward Model", "Rafailov, Rafael and others", 2023),
    "2402.01306": Paper("KTO", "KTO: Model Alignment as Prospect Theoretic Optimization", "Ethayarajh, Kawin and others", 2024),
    "2401.08417": Paper(
        "CPO", "Contrastive Preference Optimization: Pushing the Boundaries of LLM Performance in Machine Translation", "Xu, Haoran and others", 2024
    ),
    "2405.14734": Paper("SimPO", "SimPO: Simple Preference Optimization with a Reference-Free Reward", "Meng, Yu and Xia, Mengzhou and Chen, Danqi", 2024),
    "2403.07691": Paper("ORPO", "ORPO: Monolithic Preference Optimization without Reference Model", "Hong, Jiwoo and Lee, Noah and Thorne, James", 2024),
    "2402.03300": Paper("GRPO", "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models", "Shao, Zhihong and others", 2024),
    "2411.15124": Paper("RLVR", "Tulu 3: Pushing Frontiers in Open Language Model Post-Training", "Lambert, Nathan and others", 2024),
    "2402.14740": Paper(
        "RLOO", "Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in LLMs", "Ahmadian, Arash and others", 2024
    ),
    "1707.06347": Paper("PPO", "Proximal Policy Optimization Algorithms", "Schulman, John and others", 2017),
    "1909.08593": Paper("Fine-tuning from human preferences", "Fine-Tuning Language Models from Human Preferences", "Ziegler, Daniel M. and others", 2019),
    "2209.11055": Paper("SetFit", "Efficient Few-Shot Learning Without Prompts", "Tunstall, Lewis and others", 2022),
    "2306.13649": Paper(
        "On-policy distillation", "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes", "Agarwal, Rishabh and others", 2023
    ),
    "2107.05720": Paper(
        "SPLADE",
        "SPLADE: Sparse Lexical and Expansion Model for First Stage Ranking",
        "Formal, Thibault and Piwowarski, Benjamin and Clinchant, Stéphane",
        2021,
    ),
    "2204.05862": Paper(
        "Reward modelling from human feedback",
        "Training a Helpful and Harmless Assistant with Reinforcement Learning from Human Feedback",
        "Bai, Yuntao and others",
        2022,
    ),
    # Models
    "2502.02737": Paper("SmolLM2", "SmolLM2: When Smol Goes Big -- Data-Centric Training of a Small Language Model", "Ben Allal, Loubna and others", 2025),
    "1910.10683": Paper("T5", "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", "Raffel, Colin and others", 2019),
    "1910.01108": Paper("DistilBERT", "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter", "Sanh, Victor and others", 2019),
    "1810.04805": Paper("BERT", "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", "Devlin, Jacob and others", 2018),
    "1907.11692": Paper("RoBERTa", "RoBERTa: A Robustly Optimized BERT Pretraining Approach", "Liu, Yinhan and others", 2019),
    "2401.02385": Paper("TinyLlama", "TinyLlama: An Open-Source Small Language Model", "Zhang, Peiyuan and others", 2024),
    "2307.09288": Paper("Llama 2", "Llama 2: Open Foundation and Fine-Tuned Chat Models", "Touvron, Hugo and others", 2023),
    "2407.21783": Paper("Llama 3", "The Llama 3 Herd of Models", "Grattafiori, Aaron and others", 2024),
    "1706.04599": Paper("Temperature scaling", "On Calibration of Modern Neural Networks", "Guo, Chuan and others", 2017),
}
ADAPTERS = {  # peft's kind of adapter → its paper; all others are of LoRA's family
    "IA3": "2205.05638",
    "PROMPT_TUNING": "2104.08691",
    "PREFIX_TUNING": "2101.00190",
    "P_TUNING": "2103.10385",
    "ADALORA": "2303.10512",
    "VERA": "2310.11454",
}


def short_name(address: str) -> str | None:
    """What cards call a paper: its technique, its first authors and its year.

    >>> short_name("https://arxiv.org/abs/2106.09685"), short_name("https://arxiv.org/abs/1908.10084")
    ('LoRA (Hu et al. 2021)', 'Sentence-BERT (Reimers and Gurevych 2019)')
    """
    paper = PAPERS.get(_id(address))
    if paper is None:
        return None
    surnames = [name.partition(",")[0] for name in paper.authors.split(" and ")]
    who = f"{surnames[0]} et al." if "others" in surnames or len(surnames) > 2 else " and ".join(surnames)
    return f"{paper.short} ({who} {paper.year})"


def bibtex(address: str) -> str | None:
    """The BibTeX of a paper by its address; None for one that is not known.

    >>> print(bibtex("https://arxiv.org/abs/2305.18290"))
    @misc{rafailov2023direct,
      title = {Direct Preference Optimization: Your Language Model is Secretly a Reward Model},
      author = {Rafailov, Rafael and others},
      year = {2023},
      eprint = {2305.18290},
      archivePrefix = {arXiv},
      url = {https://arxiv.org/abs/2305.18290}
    }
    """
    number = _id(address)
    paper = PAPERS.get(number)
    if paper is None:
        return None
    surname = re.sub(r"\W", "", paper.authors.partition(",")[0]).lower()
    word = next(w for w in re.findall(r"[a-z]+", paper.title.lower()) if w not in ("the", "a", "an", "on", "what"))
    where = {"eprint": number, "archivePrefix": "arXiv"} if "/" not in number else {"doi": number}
    told = {"title": paper.title, "author": paper.authors, "year": str(paper.year), **where, "url": address}
    return f"@misc{{{surname}{paper.year}{word},\n" + ",\n".join(f"  {name} = {{{value}}}" for name, value in told.items()) + "\n}"


def _id(address: str) -> str:
    return address.removeprefix("arXiv:").removeprefix("https://arxiv.org/abs/").removeprefix("https://doi.org/")

"""The plan of the house. A room imports only from rooms below its own line; rooms on one line do not import each other.

    stages/  scripts/  benchmarks/        recipes that DVC runs, what a person types, what measures speed: import anything
    page                                  the page to talk on and to judge blind
    export                                the tuned model as files for other tools, the proof that they say the same, its card
    report                                what the scored answers show: intervals, comparisons, a judge, samples, one page
    drafting.py                           plain answers of another model, which the tuned one says in the tone
    evaluation                            systems asked the same questions: tuned, baselines, rivals, controls, probes
    conversation.py                       one talk with a model, whose cache holds what was said
    scoring                               from answers to numbers
    generation  training                  from prompts to answers; from rows to an adapter
    merged.py                             base and adapter as one model, and how strongly the adapter is added
    adapter.py  experiments.py            what training changed, put back onto its base; DVC experiments beside the workspace
    model                                 the base: found, loaded, quantised, spoken to through its chat template
    model/kernels                         the same arithmetic in less time on a small CPU: tensors in, tensors out
    imports                               one's own texts in: exports of chats, mails and posts become recordings
    data  teacher                         from answers to splits; what the teacher is asked, and its answers
    teacher/endpoint                      any OpenAI-compatible server: chats, money and time, no persona and no question
    core                                  params, personas, rows, files, errors

core, data, teacher and imports import neither torch nor scikit-learn. tests/pipeline/test_layers.py walks all imports.
"""
